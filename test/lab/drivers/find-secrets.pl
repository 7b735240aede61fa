# Looks for secrets in files, wherever they stand in them.
#   perl find-secrets.pl NEEDLES PLACE… -- EXCEPT…
# NEEDLES: lines "NAME HEX". Prints "NAME in FILE" for everything found; files whose path begins with one of EXCEPT are left out.
use strict;
use warnings;
use File::Find;
my $needles = shift @ARGV;
my (@places, @except, $after);
for (@ARGV) { if ($_ eq '--') { $after = 1 } elsif ($after) { push @except, $_ } else { push @places, $_ } }
my %needle;
open(my $in, '<', $needles) or die;
while (<$in>) { my ($name, $hex) = split; $needle{$name} = pack('H*', $hex) if defined $hex }
my $keep = 256;
sub look {
  my $path = $File::Find::name;
  return if -l $path || !-f _ || grep { index($path, $_) == 0 } @except, $needles;
  open(my $file, '<:raw', $path) or return;
  my ($buffer, $tail, %found) = ('', '');
  while (read($file, $buffer, 1 << 20)) {
    my $text = $tail . $buffer;
    for my $name (keys %needle) { $found{$name} = 1 if index($text, $needle{$name}) >= 0 }
    $tail = substr($text, -$keep);
  }
  print "$_ in $path\n" for sort keys %found;
}
find({ wanted => \&look, no_chdir => 1 }, grep { -e } @places);
