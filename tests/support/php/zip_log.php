<?php
// Packs one log by ZipArchive, as a PHP service would.
//
//     php zip_log.php LOG.csv OUT.zip [MEMBER] [store]

[, $log, $out] = $argv;
$member = $argv[3] ?? 'tracking_log.csv';
$archive = new ZipArchive();
if ($archive->open($out, ZipArchive::CREATE | ZipArchive::OVERWRITE) !== true) exit(1);
$archive->addFile($log, $member);
if (($argv[4] ?? '') === 'store') $archive->setCompressionName($member, ZipArchive::CM_STORE);
if (!$archive->close()) exit(1);
