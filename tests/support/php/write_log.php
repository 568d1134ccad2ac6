<?php
// Writes a tracking log with PHP's own fputcsv, and beside it the truth: one JSON list of 8 strings a record.
//
//     php write_log.php ROWS SEED escape|rfc4180 LOG.csv TRUTH.jsonl
//
// The same arguments give the same bytes. Fields hold what breaks readers: quotes, backslashes, delimiters, line breaks.
// Left out is only what may have two readings without a fault: a field that ends in \ and, later in the same record,
// one that begins with ; or has "; in it. Both ways to pair the quotes can then give eight fields and a good payload.

[, $rows, $seed, $mode, $log, $truth] = $argv;
mt_srand((int) $seed);
$escape = $mode === 'escape' ? '\\' : '';

function pick(array $values): mixed { return $values[mt_rand(0, count($values) - 1)]; }
function hex(int $digits): string {
    $text = '';
    while (strlen($text) < $digits) $text .= sprintf('%04X', mt_rand(0, 0xFFFF));
    return substr($text, 0, $digits);
}

const PIECES = [
    'Sale', 'all must go', ' ', '"', '"', '"all"', '\\', '\\"', '\\\\"', '\\""', '";"', '\\";"', '";', '\\;', ';', "\n", "\r\n", "\r", "\t",
    'Привет', '🎁🔥', 'C:\\path\\', 'C:\\new\\table', 'https://example.com/a?b=c&d="e"', '\\n', '\\u0041', "it's", '{"a":"b"}',
    '[1,2]', '//timestamp', '2021-04-20 13:01:01', "\n\"2021-04-20 13:01:01\";T-1;", '""', '"""', "\\\n", "\"\n", '<b>', '%', "\u{2028}", "é",
];
const DESCRIPTIONS = [
    'Success', 'Success', 'Success', '', '', 'path\\', 'C:\\dir\\', 'the gateway said "no"', 'a \\"quoted\\" word', 'ends in a quote"',
    'ends in both \\"', '"', '\\', '\\\\', '\\"', '"\\', 'a";"b', 'a\\";"b', "two\nlines", "two\r\nlines", "lone\rreturn", "tab\there", "ends in a break\n",
    "break\nand \\", 'x;y;z', '"all of it"', 'Ошибка: «нет»', '🎁', "\n", ' ', ' spaces ', 'x"y', '""', "\\\n", "a\\\nb", '{"code":5,"text":"\\"no\\""}',
];
const FLAGS = [
    0, 0, 0,
    JSON_UNESCAPED_UNICODE,
    JSON_UNESCAPED_SLASHES,
    JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES,
    JSON_PRETTY_PRINT,
    JSON_PRETTY_PRINT | JSON_UNESCAPED_UNICODE,
    JSON_HEX_QUOT,
];

function words(int $most): string {
    $text = '';
    for ($left = mt_rand(0, $most); $left > 0; $left--) $text .= pick(PIECES);
    return $text;
}

function payload(): string {
    if (mt_rand(0, 19) === 0) return '';
    if (mt_rand(0, 99) === 0) return '{}';
    $aps = ['alert' => words(8), 'badge' => mt_rand(0, 9), 'sound' => pick(['default', '', 'bell.caf', 'C:\\ring\\'])];
    $all = ['aps' => $aps, 'md' => ['uid' => hex(8), 'note' => words(3)]];
    if (mt_rand(0, 3) === 0) $all['l'] = 'https://example.com/' . hex(4) . '/' . pick(['', '\\', '"', '?q="x"']);
    if (mt_rand(0, 3) === 0) $all[words(2)] = [words(2), null, true, 1.5, []];
    return json_encode($all, pick(FLAGS) | JSON_THROW_ON_ERROR);
}

function device(): string {
    return match (mt_rand(0, 9)) {
        0 => '',
        1 => 'user "' . hex(4) . '"',
        2 => 'DOMAIN\\' . hex(6),
        3 => hex(6) . '\\',
        4 => 'имя ' . hex(4),
        default => hex(16),
    };
}

function description(string ...$before): string {
    $text = mt_rand(0, 2) === 0 ? words(4) : pick(DESCRIPTIONS);
    foreach ($before as $field) if (str_ends_with($field, '\\')) return ltrim(str_replace('";', '', $text), '";');
    return $text;
}

$log = fopen($log, 'wb');
$truth = fopen($truth, 'wb');
fwrite($log, "//timestamp;tracking_code;target_id;hwid;status;description;appCode;payload\n");
for ($row = 0; $row < (int) $rows; $row++) {
    $target = device();
    $hwid = mt_rand(0, 1) ? $target : device();
    $status = pick(['created', 'sent', 'delivered', 'delivered', 'opened', 'failed', 'queued\\', 'not "known"']);
    $fields = [
        gmdate('Y-m-d H:i:s', 1618923661 + intdiv($row, 7)),
        sprintf('T-%s-%s-%s', hex(4), hex(8), hex(8)),
        $target,
        $hwid,
        $status,
        description($target, $hwid, $status),
        sprintf('%s-%s', hex(5), hex(5)),
        payload(),
    ];
    fputcsv($log, $fields, ';', '"', $escape);
    fwrite($truth, json_encode($fields, JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR) . "\n");
}
