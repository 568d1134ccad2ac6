<?php
// Writes a log as the service does: by fputcsv, with PHP's default escape character.
//
//     php compare.php LOG.csv < ROWS.jsonl
//
// Each line of the input is a JSON list with the fields of one row.

$log = fopen($argv[1], 'wb');
fwrite($log, "//timestamp;tracking_code;target_id;hwid;status;description;appCode;payload\n");
while (($line = fgets(STDIN)) !== false) {
    fputcsv($log, json_decode($line, true, 512, JSON_THROW_ON_ERROR), ';', '"', '\\');
}
