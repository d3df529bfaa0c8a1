# The child of the inits that are compared. Its arguments are words, done one after the other; each says what it has seen in a line that does
# not depend on time. It drives the case itself: it sends its init a signal and then a marker, and goes on when the marker has come through;
# inits take the lowest number first, so whatever the signal has caused has come by then.
use strict;
use POSIX ();

$| = 1;
# After its end there is nobody to tell: the word that needs it is in its own session.
my $MARKER = 64;
my ($init, %got, @order) = (getppid());
# What is recorded is blocked, and let in by `until_` alone: a handler in the middle of an allocation would break Perl.
my ($found, $everything, $recorded) = (POSIX::SigSet->new, POSIX::SigSet->new, POSIX::SigSet->new);
POSIX::sigprocmask(POSIX::SIG_BLOCK(), POSIX::SigSet->new, $found) or die "sigprocmask: $!";
$everything->fillset;
my $mask = field('self', 'SigBlk');
my $ignored = field('self', 'SigIgn');
print "i am $$\n";

sub field {
    my ($pid, $name) = @_;
    open(my $file, '<', "/proc/$pid/status") or return 'gone';
    my ($line) = grep { /^$name:/ } <$file>;
    return defined $line && $line =~ /:\s*(.*)/ ? $1 : 'gone';
}

sub record {
    my ($number) = @_;
    my $handler = sub { $got{$number}++; push @order, $number if $number != $MARKER };
    $recorded->addset($number);
    POSIX::sigprocmask(POSIX::SIG_BLOCK(), $recorded) or die "sigprocmask: $!";
    POSIX::sigaction($number, POSIX::SigAction->new($handler, $everything)) or die "sigaction $number: $!";
}

# Whatever has come and was not blocked when this began, the lowest number first.
sub let_in {
    my $pending = POSIX::SigSet->new;
    while (POSIX::sigpending($pending)) {
        last unless grep { $recorded->ismember($_) && $pending->ismember($_) && !$found->ismember($_) } 1 .. $MARKER;
        POSIX::sigsuspend($found);
    }
}

sub until_ {
    my ($condition) = @_;
    while (let_in(), !$condition->()) { select(undef, undef, undef, 0.002) }
}

sub marker {
    record($MARKER);
    my $before = $got{$MARKER} || 0;
    kill($MARKER, $init);
    until_(sub { ($got{$MARKER} || 0) > $before });
}

sub relation { my ($id, $own) = @_; return $id == $own ? 'own' : $id == $init ? 'the init' : 'another' }

sub state_of { return substr(field($_[0], 'State'), 0, 1) }

# From 3 to 9, as the launcher has handed them on; not what an init, or Perl, has opened for itself.
sub descriptors {
    my ($pid) = @_;
    my @names = map { my $name = readlink("/proc/$pid/fd/$_"); defined $name ? "$_ $name" : () } 3 .. 9;
    return join(', ', grep { !/signalfd|\/proc|probe.pl/ } @names) || 'none';
}

my %words = (
    say => sub { print "$_[0]\n" },
    exit => sub { exit $_[0] },
    die => sub { kill($_[0], $$); sleep 1 while 1 },
    # What the child has found, and what the init has become.
    state => sub {
        marker();
        my $sid = (split ' ', `cut -d' ' -f6 /proc/self/stat`)[0];
        printf "group %s, session %s, parent %s\n", relation(getpgrp(), $$), $sid == $$ ? 'own' : 'inherited', relation(getppid(), $$);
        print "blocked $mask, ignored $ignored, umask ", umask(), "\n";
        printf "cwd %s, the init's %s\n", POSIX::getcwd(), readlink("/proc/$init/cwd") // 'gone';
        printf "descriptors %s, the init's %s\n", descriptors($$), descriptors($init);
        printf "stdin %s, LISTEN_PID %s\n", (POSIX::fstat(0) ? 'open' : 'closed'), ($ENV{LISTEN_PID} // '') eq $$ ? 'mine' : $ENV{LISTEN_PID} // 'unset';
    },
    # Each signal to the init, and what comes of it.
    signals => sub {
        my @numbers = split /,/, $_[0];
        record($_) for grep { $_ != 9 && $_ != 19 } @numbers;
        for my $number (@numbers) {
            @order = ();
            kill($number, $init);
            marker();
            print "$number to the init: ", join(' ', @order) || 'nothing', "\n";
        }
    },
    # One and the same, so many times before anybody can have taken it.
    burst => sub {
        my ($number, $count) = split /,/, $_[0];
        record($number);
        kill($number, $init) for 1 .. $count;
        marker();
        print "$count times $number: ", ($got{$number} == $count ? 'all' : $got{$number}), "\n";
    },
    # Somebody else in the child's group, once a signal each has gone to the init. What its group gets has come when the marker has; one that
    # comes twice may be one to whoever has not run meanwhile, so no two may become the same.
    member => sub {
        my ($numbers) = @_;
        pipe(my $read, my $write);
        pipe(my $go, my $end);
        if (!fork()) {
            @order = ();
            record($_) for $MARKER, 3, split /,/, $numbers;
            close $end;
            syswrite($write, 'ready');
            my $n;
            do { $n = sysread($go, my $byte, 1) } until defined $n;
            let_in();
            syswrite($write, join(' ', sort { $a <=> $b } @order) || 'nothing');
            POSIX::_exit(0);
        }
        sysread($read, my $ready, 5);
        record(3);
        for my $number (split /,/, $numbers) { record($number); kill($number, $init); marker() }
        close $end;
        close $go;
        close $write;
        my $seen = '';
        my $n;
        do { $n = sysread($read, $seen, 100, length $seen) } until defined $n && $n == 0;
        print "another in the group: $seen\n";
        wait();
    },
    # An orphan that ends: whose it becomes, and whether it is reaped.
    orphan => sub {
        pipe(my $read, my $write);
        pipe(my $go, my $end);
        my $middle = fork();
        if (!$middle) {
            my $parent = $$;
            POSIX::_exit(0) if fork();
            close $end;
            until_(sub { getppid() != $parent });
            syswrite($write, pack('ll', $$, getppid()));
            sysread($go, my $byte, 1);
            POSIX::_exit(0);
        }
        waitpid($middle, 0);
        my $two = '';
        until (length $two == 8) { sysread($read, $two, 8 - length $two, length $two) }
        my ($orphan, $parent) = unpack('ll', $two);
        print "the orphan's parent is ", ($parent == $init ? 'the init' : 'another'), "\n";
        close $end;
        close $go;
        if ($parent == $init) {
            until_(sub { field($orphan, 'Pid') eq 'gone' });
            marker();
            print "the orphan is reaped\n";
        }
    },
    # Somebody who is left behind, in the child's group or in a session of its own; says what has come to it once the init is over.
    leave => sub {
        my ($where) = @_;
        pipe(my $read, my $write);
        if (!fork()) {
            POSIX::setsid() if $where eq 'session';
            record($_) for 1, 2, 3, 12, 15;
            syswrite($write, 'ready');
            until_(sub { my $state = state_of($init); $state eq 'Z' || $state eq 'g' || $state eq 'X' });
            let_in();
            print "left behind: ", join(' ', @order) || 'nothing', "\n";
            POSIX::_exit(0);
        }
        sysread($read, my $ready, 5);
    },
    # The init dies of it, the child does not.
    outlive => sub {
        my ($number) = @_;
        kill($number, $init);
        until_(sub { getppid() != $init });
        print "the init is gone\n";
    },
    # A stop and its end, by somebody whom it does not concern: which of the two stops, and what comes.
    suspend => sub {
        my ($number) = @_;
        record($_) for 18, 20, 21, 22;
        my $child = $$;
        my $driver = fork();
        if (!$driver) {
            POSIX::setsid();
            kill($number, $init);
            # As PID 1 it cannot stop. It tries to, and the kernel drops a SIGCONT that comes before that: so it must be waiting again.
            my $then = $init == 1 ? 'S' : 'T';
            until_(sub { state_of($child) eq 'T' && state_of($init) eq $then });
            print "the child is stopped", ($init == 1 ? '' : ', and the init'), "\n";
            kill(18, $init);
            POSIX::_exit(0);
        }
        until_(sub { $got{18} });
        waitpid($driver, 0);
        print "then: @order\n";
    },
    tty => sub {
        my $group = POSIX::tcgetpgrp(0);
        my $sid = (split ' ', `cut -d' ' -f6 /proc/self/stat`)[0];
        printf "foreground %s, session %s\n", ($group // -1) == getpgrp() ? 'own' : 'not own', $sid == $$ ? 'own' : 'inherited';
    },
    # Waits for keys.
    keys => sub {
        my ($number) = @_;
        record($number);
        print "press\n";
        until_(sub { $got{$number} });
        print "pressed: $got{$number}\n";
    },
);

for my $word (@ARGV) {
    my ($name, $value) = split /=/, $word, 2;
    die "no word: $word" unless $words{$name};
    $words{$name}->($value);
}
