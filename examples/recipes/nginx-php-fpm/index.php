<?php
// ?sleep=3 makes a request that is still under way when the container is stopped.
$seconds = min(20, max(0, (int) ($_GET['sleep'] ?? 0)));
sleep($seconds);
header('Content-Type: text/plain');
echo 'answered by php-fpm worker ', getmypid(), " after {$seconds}s\n";
