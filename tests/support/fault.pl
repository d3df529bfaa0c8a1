#!/usr/bin/perl
# Puts faults in front of a program and executes it: fault.pl WORD... -- COMMAND. perl-base alone, so system calls are raw.
# Words take effect from left to right; those that mount do so in a mount namespace of their own.
#
#   user:N             the user and the group N and no other group
#   traverse           with `user`: may still go into every directory (for a checkout that only root may enter)
#   no-caps            no capability, now or by any later exec
#   limit:nproc:N      at most N processes of this user; limit:nofile:N: at most N open descriptors, none of them inherited but 0 to 2
#   deny:ERRNO:CALLS   these calls answer ERRNO; CALLS are joined by commas, prctl=36 is prctl with 36 as first argument,
#                      ioctl==21520 one with that as its second
#   kill:CALLS         these calls end the process with SIGSYS
#   read-only:PATH     every mount is read-only, but PATH
#   hide:PATH[:KEEP…]  an empty read-only directory over PATH (hide:/proc is no /proc); directories KEEP below it stay
#   no-null            /dev without null
#   full:DIR           a file system without room over DIR, with an empty file termination-log in it
#   proc:OPTIONS       a /proc of these options (hidepid=2, subset=pid)
#   pid-max:N          pids of this PID namespace stay below N
#   chroot:DIR         into a directory that holds nothing but what the test put there
#   out:FILE  err:FILE standard output or error goes to FILE
#   gone:out gone:err  it goes to a pipe that nobody reads any more
#   stuff:out stuff:err  the pipe that it is gets filled
use strict;
use warnings;
use Config;
use Errno ();
use Fcntl;

my ($arch, $column) = $Config{archname} =~ /^x86_64/ ? (0xC000003E, 0) : $Config{archname} =~ /^aarch64/ ? (0xC00000B7, 1)
    : die "fault.pl: no table of system calls for $Config{archname}\n";
my %number = map { my ($name, @n) = @$_; ($name => $n[$column]) } (
    [prctl => 157, 167], [seccomp => 317, 277], [unshare => 272, 97], [prlimit64 => 302, 261], [capset => 126, 91],
    [setgroups => 116, 159], [setresgid => 119, 149], [setresuid => 117, 147],
    [pidfd_open => 434, 434], [pidfd_send_signal => 424, 424], [clone3 => 435, 435], [close_range => 436, 436],
    [pidfd_getfd => 438, 438], [statx => 332, 291], [pwritev2 => 328, 287], [splice => 275, 76], [io_uring_setup => 425, 425],
    [userfaultfd => 323, 282], [bpf => 321, 280], [ptrace => 101, 117], [process_vm_readv => 310, 270], [execveat => 322, 281],
    [openat2 => 437, 437], [faccessat2 => 439, 439], [kcmp => 312, 272], [perf_event_open => 298, 241], [rseq => 334, 293],
    [setns => 308, 268], [mount => 165, 40], [keyctl => 250, 219], [getrandom => 318, 278], [setpgid => 109, 154], [socket => 41, 198], [bind => 49, 200],
    [ioctl => 16, 29], [vfork => 58, -1], [memfd_create => 319, 279], [name_to_handle_at => 303, 264], [sched_setscheduler => 144, 119],
    [signalfd4 => 289, 74],
    [inotify_init1 => 294, 26],
);
my ($PR_CAPBSET_DROP, $PR_SET_NO_NEW_PRIVS, $PR_SET_KEEPCAPS, $PR_CAP_AMBIENT) = (24, 38, 8, 47);
my $DAC_READ_SEARCH = 2;
my $CLONE_NEWNS = 0x20000;
my %limit = (nproc => 6, nofile => 7);
my $mounts;
my $traverse;

sub call { my ($name, @args) = @_; my $rc = syscall $number{$name}, @args; die "fault.pl: $name: $!\n" if $rc < 0; $rc }
sub run { system(@_) == 0 or die "fault.pl: @_ failed\n" }

sub limit {
    my ($what, $n) = @_;
    if ($what eq 'nofile' && opendir my $open, '/proc/self/fd') {
        POSIX::close($_) for grep { /^\d+$/ && $_ > 2 } readdir $open;
    }
    call('prlimit64', 0, $limit{$what}, pack('QQ', $n, $n), 0);
}

sub own_mounts {
    return if $mounts++;
    call('unshare', $CLONE_NEWNS);
    run(qw(mount --make-rprivate /));
}

# Version 3 of the interface, this process; effective, permitted, inheritable, each in two words.
sub capabilities {
    my ($low) = @_;
    my ($header, $data) = (pack('LL', 0x20080522, 0), pack('L6', $low, $low, $low, 0, 0, 0));
    call('capset', $header, $data);
}

sub become {
    my ($id) = @_;
    call('prctl', $PR_SET_KEEPCAPS, 1, 0, 0, 0) if $traverse;
    call('setgroups', 0, 0);
    call($_, $id + 0, $id + 0, $id + 0) for qw(setresgid setresuid);
    return unless $traverse;
    capabilities(1 << $DAC_READ_SEARCH);
    call('prctl', $PR_CAP_AMBIENT, 2, $DAC_READ_SEARCH, 0, 0);
}

sub drop_capabilities {
    for my $capability (0 .. 63) { last if syscall($number{prctl}, $PR_CAPBSET_DROP, $capability, 0, 0, 0) < 0 }
    capabilities(0);
}

# BPF: another architecture's calls pass; a call on the list gets `verdict`.
sub filter {
    my ($verdict, $calls) = @_;
    my ($load, $equal, $return) = (0x20, 0x15, 0x06);
    my @program = ([$load, 0, 0, 4], [$equal, 1, 0, $arch], [$return, 0, 0, 0x7fff0000], [$load, 0, 0, 0]);
    for (split /,/, $calls) {
        my ($name, $first, $second) = split /=/;
        my $n = $number{$name} // die "fault.pl: unknown call $name\n";
        next if $n < 0;
        if (defined $first) {
            my ($at, $value) = defined $second ? (24, $second) : (16, $first);
            push @program, [$equal, 0, 4, $n], [$load, 0, 0, $at], [$equal, 0, 1, $value], [$return, 0, 0, $verdict], [$load, 0, 0, 0];
        } else {
            push @program, [$equal, 0, 1, $n], [$return, 0, 0, $verdict];
        }
    }
    push @program, [$return, 0, 0, 0x7fff0000];
    my $code = join '', map { pack 'SCCL', @$_ } @program;
    my $filter = pack 'Sx6P', scalar @program, $code;
    # Without CAP_SYS_ADMIN only who gives up set-uid programs may have a filter.
    return if syscall($number{seccomp}, 1, 0, $filter) == 0;
    call('prctl', $PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    call('seccomp', 1, 0, $filter);
}

sub read_only {
    my ($keep) = @_;
    own_mounts();
    run('mount', '--bind', $keep, $keep);
    open my $f, '<', '/proc/self/mountinfo' or die "fault.pl: mountinfo: $!\n";
    # An escaped name is none of ours; what is hidden below another mount cannot be reached and need not be.
    for my $point (map { (split ' ')[4] } <$f>) {
        next if $point eq $keep || $point =~ m{^/proc\b} || $point =~ /\\/;
        system "mount -o remount,bind,ro '$point' 2>/dev/null";
    }
    -w $_ && open my $g, '>', "$_/fault-probe" and die "fault.pl: $_ is still writable\n" for qw(/ /tmp /run /dev);
}

sub hide {
    my ($path, @keep) = @_;
    own_mounts();
    # What is covered can still be reached by a descriptor.
    my %kept = map { open my $f, '<', $_ or die "fault.pl: $_: $!\n"; fcntl $f, F_SETFD, 0; ($_ => $f) } @keep;
    run(qw(mount -t tmpfs -o), 'size=4k,mode=755', 'none', $path);
    for my $keep (sort keys %kept) {
        run(qw(mkdir -p), $keep);
        run(qw(mount --no-canonicalize --rbind), '/proc/self/fd/' . fileno($kept{$keep}), $keep);
        close $kept{$keep};
    }
    run(qw(mount -o), 'remount,ro', $path);
}

sub full {
    my ($dir) = @_;
    own_mounts();
    run(qw(mount -t tmpfs -o), 'size=8k,mode=777', 'none', $dir);
    for my $name (qw(termination-log filler)) {
        open my $f, '>', "$dir/$name" or die "fault.pl: $dir/$name: $!\n";
        next if $name ne 'filler';
        1 while defined syswrite $f, 'x' x 4096;
    }
}

# A /dev of everything but null: bind mounts of the others on a fresh tmpfs.
sub no_null {
    own_mounts();
    run(qw(mount -t tmpfs -o), 'size=64k,mode=755', qw(none /mnt));
    for my $name (qw(zero full random urandom tty)) {
        open my $f, '>', "/mnt/$name" or die "fault.pl: /mnt/$name: $!\n";
        run('mount', '--bind', "/dev/$name", "/mnt/$name");
    }
    run(qw(mount --move /mnt /dev));
}

sub pid_max {
    my ($n) = @_;
    my ($major, $minor) = split /[.]/, (POSIX::uname())[2];
    # Before 6.14 there is one limit, and it is the machine's.
    die "fault.pl: pid-max needs Linux 6.14 and a PID namespace\n" unless $$ == 1 && $major * 1000 + $minor >= 6014;
    open my $f, '>', '/proc/sys/kernel/pid_max' or die "fault.pl: pid_max: $!\n";
    syswrite($f, $n) or die "fault.pl: pid_max: $!\n";
}

sub stream { $_[0] eq 'out' ? \*STDOUT : \*STDERR }

sub gone {
    my ($which) = @_;
    pipe my $read, my $write or die "fault.pl: pipe: $!\n";
    open stream($which), '>&', $write or die "fault.pl: dup: $!\n";
}

sub stuff {
    my ($which) = @_;
    my $stream = stream($which);
    my $flags = fcntl $stream, F_GETFL, 0;
    fcntl $stream, F_SETFL, $flags | O_NONBLOCK;
    my $line = 'z' x 63 . "\n";
    1 while defined syswrite $stream, $line x 64;
    1 while defined syswrite $stream, "\n";
    fcntl $stream, F_SETFL, $flags | 0;
}

require POSIX;
while (@ARGV and (my $word = shift @ARGV) ne '--') {
    my ($verb, $rest) = split /:/, $word, 2;
    my ($first, $second) = split /:/, $rest // '', 2;
    if    ($verb eq 'traverse')  { $traverse = 1 }
    elsif ($verb eq 'user')      { become($rest) }
    elsif ($verb eq 'no-caps')   { drop_capabilities() }
    elsif ($verb eq 'limit')     { limit($first, $second) }
    elsif ($verb eq 'deny')      { filter(0x50000 | Errno->can($first)->(), $second) }
    elsif ($verb eq 'kill')      { filter(0x80000000, $rest) }
    elsif ($verb eq 'read-only') { read_only($rest) }
    elsif ($verb eq 'hide')      { hide(split /:/, $rest) }
    elsif ($verb eq 'full')      { full($rest) }
    elsif ($verb eq 'no-null')   { no_null() }
    elsif ($verb eq 'proc')      { own_mounts(); run(qw(mount -t proc -o), $rest, qw(proc /proc)) }
    elsif ($verb eq 'chroot')    { chroot $rest and chdir '/' or die "fault.pl: $rest: $!\n" }
    elsif ($verb eq 'pid-max')   { pid_max($rest) }
    elsif ($verb eq 'out')       { open STDOUT, '>>', $rest or die "fault.pl: $rest: $!\n" }
    elsif ($verb eq 'err')       { open STDERR, '>>', $rest or die "fault.pl: $rest: $!\n" }
    elsif ($verb eq 'gone')      { gone($rest) }
    elsif ($verb eq 'stuff')     { stuff($rest) }
    else                         { die "fault.pl: unknown word $word\n" }
}
exec { $ARGV[0] } @ARGV or die "fault.pl: $ARGV[0]: $!\n";
