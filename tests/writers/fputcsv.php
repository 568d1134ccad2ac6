<?php
// Writes rows with PHP's own fputcsv.
//
//     php fputcsv.php ROWS.jsonl LOG.csv
//
// A line of ROWS.jsonl is [ESCAPE, LINE_END, FIELDS]. The number of bytes of each record goes to standard output.

[, $rows, $log] = $argv;
$in = fopen($rows, 'rb');
$out = fopen($log, 'wb');
while (($line = fgets($in)) !== false) {
    [$escape, $end, $fields] = json_decode($line, true, 512, JSON_THROW_ON_ERROR);
    echo fputcsv($out, $fields, ';', '"', $escape, $end), "\n";
}
