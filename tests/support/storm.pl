#!/usr/bin/perl
# Sends PID 1 signals, as one process inside its container, once FILE is there: `storm.pl all FILE` every pair of signals and every triple
# of those that differ, with no time in between, from two processes at once; `storm.pl few FILE` the pairs and the sequences that are known to
# have ended an init, each many times. Prints "storm over".
use strict;
use warnings;
$| = 1;
my ($what, $file) = @ARGV;
my $last = 63; # The tests stop softstop with 64.
my @all = 1 .. $last;
# Real-time signals differ by nothing but their numbers; 32 and 33 are the C library's.
my @different = (1 .. 34, $last);
my @handled = (10, 12, 1, 28, 14, 13, 2, 3, 15, 18, 20, 23, 40, 50);
my @faults = (4, 5, 6, 7, 8, 11, 31);

sub one_in_two { my ($mine, @list) = @_; map { $list[$_] } grep { $_ % 2 == $mine } 0 .. $#list }

sub pairs {
    for my $first (one_in_two(@_, @all)) {
        for my $second (@all) { kill $_, 1 for $first, $second }
    }
}

sub triples {
    for my $first (one_in_two(@_, @different)) {
        for my $second (@different) {
            for my $third (@different) { kill $_, 1 for $first, $second, $third }
        }
    }
}

sub known {
    for (1 .. 20) {
        kill $_, 1 for 11, 10, 12, 1, 28;
        for my $fault (@faults) {
            # A fault's signal while every handler that there may be runs, and handlers inside handlers.
            kill $_, 1 for $fault, @handled, $fault, reverse @handled;
            kill $_, 1 for map { ($_, $fault) } @handled;
        }
        select undef, undef, undef, 0.001;
    }
}

select undef, undef, undef, 0.01 until -e $file;
my $other = fork // die "fork: $!";
my $mine = $other ? 0 : 1;
pairs($mine);
$what eq 'all' ? triples($mine) : known();
exit 0 unless $other;
waitpid $other, 0;
syswrite STDOUT, "storm over\n";
