# Wrong: chomp takes the last byte of the input when it is a line end.
# Only decode is done.
use strict;
use warnings;
@ARGV == 1 && $ARGV[0] eq 'decode' or die "only decode is done\n";
binmode STDIN;
my $input = do { local $/; <STDIN> } // '';
chomp $input;
pos($input) = 0;

sub bad { print STDERR "not valid: $_[0]\n"; exit 1 }

sub string {
    $input =~ /\G(0|[1-9][0-9]{0,9}):/gc or bad('a string at byte ' . pos $input);
    my ($n, $at) = ($1, pos $input);
    $n <= length($input) - $at or bad('a string is longer than the input');
    pos($input) = $at + $n;
    return substr $input, $at, $n;
}

sub json {
    my ($bytes) = @_;
    $bytes =~ s/([^ !#-\[\]-~])/sprintf '\u%04x', ord $1/ge;
    return qq("$bytes");
}

sub value {
    my ($depth) = @_;
    bad('nested too deep') if $depth > 90;
    if ($input =~ /\Gi(0|-?[1-9][0-9]*)e/gc) { return $1 }
    if ($input =~ /\Gl/gc) {
        my @items;
        push @items, value($depth + 1) until $input =~ /\Ge/gc;
        return '[' . join(',', @items) . ']';
    }
    if ($input =~ /\Gd/gc) {
        my (@entries, $last);
        until ($input =~ /\Ge/gc) {
            my $key = string();
            bad('keys are not sorted') if defined $last && !($last lt $key);
            $last = $key;
            push @entries, json($key) . ':' . value($depth + 1);
        }
        return '{' . join(',', @entries) . '}';
    }
    return json(string());
}

my $json = value(0);
bad('bytes after the value') if pos($input) < length $input;
print "$json\n";
