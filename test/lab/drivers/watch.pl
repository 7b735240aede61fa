# What any program on a machine can see of the others: the arguments and environments of all processes, looked at over
# and over. Each different one is appended to a file once.
#   perl watch.pl FILE STOP     until the file STOP is there
use strict;
use warnings;
my ($file, $stop) = @ARGV;
my (%seen, $passes);
open(my $out, '>>:raw', $file) or die;
$out->autoflush(1);
until (-e $stop) {
  $passes++;
  for my $pid (glob '/proc/[0-9]*') {
    for my $name ('cmdline', 'environ') {
      open(my $in, '<:raw', "$pid/$name") or next;
      local $/;
      my $text = <$in>;
      next if !defined $text || $text eq '' || $seen{"$name $text"}++;
      print $out "$name $text\n";
    }
  }
  select(undef, undef, undef, 0.002);
}
print $out "passes $passes\n";
