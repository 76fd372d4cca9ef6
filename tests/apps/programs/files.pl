# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# files.pl — perl's ways to files: sysopen and streams, in-place editing, locks, children, DB_File and SDBM.
use strict;
use warnings;
use DB_File;
use Digest::MD5 qw(md5_hex);
use Fcntl qw(:DEFAULT :flock SEEK_SET SEEK_CUR);
use File::Copy;
use File::Temp qw(tempfile);
use IO::Handle;
use SDBM_File;

$| = 1;
my $state = 7;

sub number {
    $state = ($state * 1103515245 + 12345) % 2**31;
    return ($state >> 8) % $_[0];
}
sub bytes { return join '', map { chr number(256) } 1 .. $_[0] }

sysopen(my $f, 'a', O_RDWR | O_CREAT) or die;
for my $i (0 .. 400) {
    sysseek($f, number(200000), SEEK_SET);
    syswrite($f, bytes(number(4000)));
    $f->sync if $i % 20 == 0;
}
sysseek($f, 1000, SEEK_SET);
sysread($f, my $x, 100000);
print md5_hex($x), ' ', -s $f, "\n";
truncate($f, 50000);
print -s 'a', "\n";
close $f;

open(my $g, '+>', 'b') or die;
print $g "line $_\n" for 1 .. 1000;
seek($g, 0, SEEK_SET);
my $n = 0;
$n++ while <$g>;
print "$n\n";
seek($g, 100, SEEK_SET);
print $g 'over';
close $g;
open($g, '>>', 'b');
flock($g, LOCK_EX);
print $g "end\n";
$g->flush;
$g->sync;
close $g;

copy('b', 'c');
move('c', 'd');
my ($t, $name) = tempfile(DIR => '.');
print $t 'temp';
close $t;
unlink $name;
{
    local @ARGV = ('b');
    local $^I = '.bak';
    while (<>) { s/line/LINE/; print }
}

my $child = open(my $p, '-|') // die;
if (!$child) {
    open(my $h, '>>', 'e');
    $h->autoflush(1);
    print $h "child\n";
    print "from child\n";
    exit;
}
print <$p>;
close $p;
open(my $h, '>', 'f');
$h->autoflush(1);
print $h "one\n";
system('echo two >> f; cat f');
if (!fork) { print $h "three\n"; exit }
wait;
print $h "four\n";
close $h;
open(my $saved, '>&', \*STDOUT);
open(STDOUT, '>', 'out');
print "to file\n";
system('echo from system');
open(STDOUT, '>&', $saved);
open($h, '<', 'f');
print <$h>;
close $h;
utime 1000, 2000, 'a';
print((stat 'a')[9], "\n");
open($h, '+<:raw', 'b');
read($h, $x, 50);
seek($h, 0, SEEK_CUR);
print $h 'mid';
print tell($h), "\n";
close $h;

tie my %tree, 'DB_File', 'tree.db', O_RDWR | O_CREAT, 0644, $DB_BTREE or die;
$tree{"key$_"} = 'value' x ($_ % 50) for 1 .. 3000;
delete $tree{"key$_"} for 500 .. 700;
(tied %tree)->sync;
print scalar(keys %tree), ' ', md5_hex(map { "$_=$tree{$_}" } keys %tree), "\n";
untie %tree;
tie my %small, 'SDBM_File', 'small', O_RDWR | O_CREAT, 0644 or die;
$small{$_} = $_ x 3 for 1 .. 500;
print scalar(keys %small), "\n";
untie %small;
opendir(my $dir, '.');
print join(' ', sort grep { !/^\./ } readdir $dir), "\n";
