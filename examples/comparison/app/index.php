<?php
// ?job=ID puts a job on the queue, ?sleep=2.5 takes that many seconds; every answer means that nginx, php-fpm and redis work.
function redis(string ...$words): string {
    $connection = @fsockopen('127.0.0.1', 6379, $code, $message, 1);
    if (!$connection) {
        http_response_code(503);
        exit("redis: $message\n");
    }
    $request = '*' . count($words) . "\r\n";
    foreach ($words as $word) {
        $request .= '$' . strlen($word) . "\r\n$word\r\n";
    }
    fwrite($connection, $request);
    $answer = (string) fgets($connection);
    if ($answer === '' || $answer[0] === '-') {
        http_response_code(503);
        exit("redis: $answer\n");
    }
    return $answer;
}

header('Content-Type: text/plain');
usleep((int) (1e6 * min(20, max(0, (float) ($_GET['sleep'] ?? 0)))));
echo isset($_GET['job']) ? redis('LPUSH', 'jobs', $_GET['job']) : redis('PING');
