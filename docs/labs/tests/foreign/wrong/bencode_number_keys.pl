# Wrong: keys that look like numbers are compared as numbers, so 9 comes before 10.
# Only decode is done.
use strict;
use warnings;
@ARGV == 1 && $ARGV[0] eq 'decode' or die "only decode is done\n";
binmode STDIN;
my $input = do { local $/; <STDIN> } // '';
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

sub precedes {
    my ($one, $other) = @_;
    my $number = qr/\A[0-9]+\z/;
    return $one =~ $number && $other =~ $number ? $one < $other : $one lt $other;
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
            bad('keys are not sorted') if defined $last && !precedes($last, $key);
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
