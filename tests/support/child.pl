#!/usr/bin/perl
# A process that behaves, or does not, as its arguments say: one word after the other. perl-base is on every Debian, and
# unlike a shell it can ignore, block and catch any signal, double-fork, and write without end.
#
#   say:TEXT            prints a line
#   raw:HEX             prints bytes
#   long:N              prints one line of N letters
#   ignore:SIG          SIG is a name or a number
#   on:SIG              prints "SIG received" and goes on
#   linger:SIG:MS       waits for the first SIG (after on:SIG), and MS longer
#   exit-on:SIG:CODE[:MS]   prints "SIG received", takes MS, prints "SIG handled", exits
#   fork WORDS end      a child in the same process group does WORDS; goes on once it is `ready`, waits or has ended
#   session WORDS end   the same, double-forked into a session of its own (a daemon)
#   new-session         goes on in a session of its own
#   ready               tells the process that forked this one that it may go on
#   many:N WORDS end    N children at once in the same process group, each does WORDS; goes on once all are `ready`
#   busy                uses all the processor time it can get
#   eat:MB              takes so much memory
#   orphans:N           N processes whose parent ends before they do
#   journal:FILE:TEXT   appends a line to FILE
#   journal-on:SIG:FILE:TEXT  appends a line to FILE when SIG comes, then exits 0
#   journal-all:FILE    appends the name of every signal that comes to FILE, and goes on
#   status              prints the signal lines of /proc/self/status
#   environ:NAME        prints NAME=value
#   pid                 prints pid=N as the process's own namespace counts
#   group               prints own-group=yes or no
#   fds                 prints the open descriptors: fds=0,1,2
#   until:SIG           waits for SIG
#   listen, listen6     listens on a TCP port of every IPv4 or IPv6 address, and prints port=N
#   listen:HOST:PORT    listens on that port of that IPv4 address, and prints port=N
#   unlisten-on:SIG     listens no more once SIG comes, and prints "listens no more"
#   keep-lock           sends on a connection to its own first port from memory that never comes, so that the kernel keeps its lock
#   serve               answers every line of whoever connects with the same line, for ever
#   hide                hides its files from everybody but a tracer, as a program with capabilities of its file does
#   open:FILE           opens FILE, however long that takes
#   idle                waits for ever, and costs less than `wait` when there are many
#   sleep:MS   wait (for ever)   exit:CODE   stop-self   stop-again (whenever it is woken)   fill (writes for ever)
use strict;
use warnings;
use Config;
use POSIX ();
$| = 1;
# Not $0: writing it overwrites the environment that the tests find their processes by.
my $name = "child.pl @ARGV";
my @numbered = split ' ', $Config{sig_name};
my $ready;

sub signal_name { my ($s) = @_; $s =~ /^\d+$/ ? $numbered[$s] : $s =~ s/^SIG//r }
sub nap { my ($ms) = @_; my $end = now() + $ms / 1000; while ((my $left = $end - now()) > 0) { select undef, undef, undef, $left } }
# CLOCK_MONOTONIC without Time::HiRes, which perl-base does not promise.
sub now { open my $f, '<', '/proc/uptime' or return time; (split ' ', <$f>)[0] }
sub line { my ($text) = @_; syswrite STDOUT, "$text\n" }
sub ready { close $ready if $ready; undef $ready }
sub append { my ($file, $text) = @_; open my $f, '>>', $file or die "$file: $!"; syswrite $f, "$text\n" }

sub block_end {
    my ($from, @words) = @_;
    my $depth = 1;
    for my $i ($from .. $#words) {
        $depth++ if $words[$i] =~ /^(fork|session|many:.*)$/;
        $depth-- if $words[$i] eq 'end';
        return $i if $depth == 0;
    }
    die "child.pl: no end\n";
}

sub start {
    my ($session, @words) = @_;
    pipe my $read, my $write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ($pid) {
        close $write;
        my $byte;
        1 until defined sysread $read, $byte, 1;
        waitpid $pid, 0 if $session;
        return;
    }
    close $read;
    close $ready if $ready;
    $ready = $write;
    if ($session) {
        POSIX::setsid();
        POSIX::_exit(0) if fork // die "fork: $!";
    }
    run(@words);
    POSIX::_exit(0);
}

sub many {
    my ($n, @words) = @_;
    pipe my $read, my $write or die "pipe: $!";
    for (1 .. $n) {
        next if fork // die "fork: $!";
        close $read;
        close $ready if $ready;
        $ready = $write;
        run(@words);
        POSIX::_exit(0);
    }
    close $write;
    my $byte;
    1 until defined sysread $read, $byte, 1;
}

sub orphans {
    my ($n) = @_;
    for (1 .. $n) {
        my $pid = fork;
        unless (defined $pid) { nap(1); redo }
        unless ($pid) {
            fork;
            POSIX::_exit(0);
        }
        waitpid $pid, 0;
    }
}

my (@listening, %received);

sub listening {
    my ($verb, $host, $port) = @_;
    require Socket;
    my $family = $verb eq 'listen6' ? Socket::AF_INET6() : Socket::AF_INET();
    socket my $socket, $family, Socket::SOCK_STREAM(), 0 or die "socket: $!";
    my $any = $verb eq 'listen6' ? Socket::pack_sockaddr_in6(0, Socket::inet_pton($family, '::'))
        : Socket::pack_sockaddr_in($port // 0, Socket::inet_aton($host // '0.0.0.0'));
    setsockopt $socket, Socket::SOL_SOCKET(), Socket::SO_REUSEADDR(), 1;
    bind $socket, $any or die "bind: $!";
    push @listening, $socket;
    my $own = getsockname $socket;
    ($port) = $verb eq 'listen6' ? Socket::unpack_sockaddr_in6($own) : Socket::unpack_sockaddr_in($own);
    listen $socket, 1024 or die "listen: $!";
    line("port=$port");
}

sub serve {
    my %clients;
    ready();
    while (1) {
        my $bits = '';
        vec($bits, fileno $_, 1) = 1 for @listening, values %clients;
        next if select($bits, undef, undef, 1) <= 0;
        for (@listening) {
            next unless vec $bits, fileno $_, 1;
            accept my $client, $_ or next;
            $clients{ fileno $client } = $client;
        }
        for (keys %clients) {
            next unless vec $bits, $_, 1;
            my $n = sysread $clients{$_}, my $text, 4096;
            if ($n) { syswrite $clients{$_}, $text } else { delete $clients{$_} }
        }
    }
}

sub keep_lock {
    my $machine = (POSIX::uname())[4];
    my ($mmap, $userfaultfd, $ioctl, $sendto) = @{ { x86_64 => [9, 323, 16, 44], aarch64 => [222, 282, 29, 206] }->{$machine} // die "child.pl: $machine?\n" };
    my ($UFFDIO_API, $UFFDIO_REGISTER, $SIZE) = (0xc018aa3f, 0xc020aa00, 65536);
    my $faults = syscall $userfaultfd, 0;
    return line("no userfaultfd: $!") if $faults < 0;
    my $api = pack 'QQQ', 0xAA, 0, 0;
    syscall($ioctl, $faults, $UFFDIO_API, $api) == 0 or die "UFFDIO_API: $!";
    my $memory = syscall $mmap, 0, $SIZE, 3, 0x22, -1, 0;
    my $register = pack 'QQQQ', $memory, $SIZE, 1, 0;
    syscall($ioctl, $faults, $UFFDIO_REGISTER, $register) == 0 or die "UFFDIO_REGISTER: $!";
    socket my $client, Socket::AF_INET(), Socket::SOCK_STREAM(), 0 or die "socket: $!";
    connect $client, getsockname $listening[0] or die "connect: $!";
    accept my $server, $listening[0] or die "accept: $!";
    line('keeps the lock');
    syscall $sendto, fileno $server, $memory, $SIZE, 0, 0, 0;
}

sub hide {
    # PR_SET_DUMPABLE by its number: perl-base has no header files.
    my $prctl = { x86_64 => 157, aarch64 => 167 }->{ (POSIX::uname())[4] } // die "child.pl: prctl's number is not known here\n";
    syscall($prctl, 4, 0, 0, 0, 0) == 0 or die "prctl: $!";
}

sub run {
    my @words = @_;
    for (my $i = 0; $i <= $#words; $i++) {
        my ($verb, @a) = split /:/, $words[$i], 4;
        my $rest = $words[$i] =~ s/^[^:]*:?//r;
        if    ($verb eq 'say')     { line($rest) }
        elsif ($verb eq 'raw')     { syswrite STDOUT, pack 'H*', $rest }
        elsif ($verb eq 'long')    { print STDOUT 'x' x $rest, "\n" }
        elsif ($verb eq 'ignore')  { $SIG{ signal_name($a[0]) } = 'IGNORE' }
        elsif ($verb eq 'on')      { my $s = $a[0]; $SIG{ signal_name($s) } = sub { $received{$s} = 1; line("$s received") } }
        elsif ($verb eq 'linger')  { nap(20) until $received{ $a[0] }; nap($a[1]) }
        elsif ($verb eq 'exit-on') {
            my ($s, $code, $ms) = @a;
            $SIG{ signal_name($s) } = sub {
                line("$s received");
                nap($ms) if $ms;
                line("$s handled");
                POSIX::_exit($code);
            };
        }
        elsif ($verb eq 'journal') { append($a[0], $a[1]) }
        elsif ($verb eq 'journal-on') {
            my ($s, $file, $text) = @a;
            $SIG{ signal_name($s) } = sub { append($file, $text); POSIX::_exit(0) };
        }
        elsif ($verb eq 'journal-all') {
            my $file = $rest;
            for my $s (grep { !/^(?:ZERO|KILL|STOP|CHLD|CLD|NUM3[23]|FPE|SEGV|ILL|BUS)$/ } @numbered) { $SIG{$s} = sub { append($file, $s) } }
        }
        elsif ($verb eq 'fork' || $verb eq 'session') {
            my $end = block_end($i + 1, @words);
            start($verb eq 'session', @words[$i + 1 .. $end - 1]);
            $i = $end;
        }
        elsif ($verb eq 'many')    {
            my $end = block_end($i + 1, @words);
            many($rest, @words[$i + 1 .. $end - 1]);
            $i = $end;
        }
        elsif ($verb eq 'new-session') { POSIX::setsid() }
        elsif ($verb eq 'busy')    { ready(); 1 while 1 }
        elsif ($verb eq 'eat')     { our @eaten; push @eaten, 'x' x 1_000_000 for 1 .. $rest }
        elsif ($verb eq 'ready')   { ready() }
        elsif ($verb eq 'orphans') { orphans($rest) }
        elsif ($verb eq 'status')  {
            open my $f, '<', '/proc/self/status' or die $!;
            while (<$f>) { line($_ =~ s/\s+$//r =~ s/\s+/ /r) if /^Sig(Blk|Ign|Cgt)/ }
        }
        elsif ($verb eq 'environ') { line("$rest=" . ($ENV{$rest} // '(unset)')) }
        elsif ($verb eq 'pid')     { line("pid=$$") }
        elsif ($verb eq 'group')   { line('own-group=' . (getpgrp == $$ ? 'yes' : 'no')) }
        elsif ($verb eq 'fds')     { line('fds=' . join ',', grep { -e "/proc/self/fd/$_" } 0 .. 63) }
        elsif ($verb eq 'until')   {
            my $came = 0;
            $SIG{ signal_name($a[0]) } = sub { $came = 1 };
            ready();
            line("waiting for $a[0]");
            nap(20) until $came;
        }
        elsif ($verb eq 'listen' || $verb eq 'listen6') { listening($verb, @a) }
        elsif ($verb eq 'unlisten-on') { $SIG{ signal_name($a[0]) } = sub { close $_ for @listening; @listening = (); line('listens no more') } }
        elsif ($verb eq 'serve')   { serve() }
        elsif ($verb eq 'hide')    { hide() }
        elsif ($verb eq 'keep-lock') { keep_lock() }
        elsif ($verb eq 'open')    { ready(); open my $f, '<', $rest or line("$rest: $!") }
        elsif ($verb eq 'sleep')   { nap($rest) }
        elsif ($verb eq 'wait')    { ready(); nap(50) while 1 } # perl runs handlers between naps
        # A handler that comes right before a nap runs after it: in a second at the latest.
        elsif ($verb eq 'idle')    { ready(); nap(1000) while 1 }
        elsif ($verb eq 'exit')    { POSIX::_exit($rest) }
        elsif ($verb eq 'stop-self') { ready(); kill 'STOP', $$ }
        elsif ($verb eq 'stop-again') { ready(); kill 'STOP', $$ while 1 }
        elsif ($verb eq 'fill')    { ready(); my $text = ('y' x 79 . "\n") x 50; syswrite STDOUT, $text while 1 }
        else                       { die "child.pl: unknown word $words[$i]\n" }
    }
}

run(@ARGV);
