#!/usr/bin/perl
# crowd.pl PORT COUNT: opens COUNT connections to 127.0.0.1:PORT, says nothing on them, prints how many it has (and why it has no more), and
# holds them until its standard input ends. A process of its own, because one process may not have ten thousand descriptors everywhere.
use strict;
use warnings;
use Errno;
use Socket;
my ($port, $count) = @ARGV;
my $to = sockaddr_in($port, INADDR_LOOPBACK);
my (@held, $why);
for (1 .. $count) {
    socket my $socket, PF_INET, SOCK_STREAM, 0 or $why = $!, last;
    # The machine may be out of ports for a moment: others in TIME_WAIT keep theirs for a minute.
    my ($connected, $tries) = (connect($socket, $to), 0);
    while (!$connected && $!{EADDRNOTAVAIL} && ++$tries < 900) {
        select undef, undef, undef, 0.1;
        $connected = connect $socket, $to;
    }
    $connected or $why = $!{ECONNREFUSED} || $!{ECONNRESET} ? "gone" : $!, last;
    push @held, $socket;
}
$| = 1;
print scalar(@held), $why ? " $why" : "", "\n";
my $byte;
1 while sysread STDIN, $byte, 1;
