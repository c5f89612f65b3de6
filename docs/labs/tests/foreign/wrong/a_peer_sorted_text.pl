# Wrong: the blocks are joined in the order of their offsets as text: 114688 comes before 16384.
use strict;
use warnings;
use Digest::SHA qw(sha1);
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(time);

sub fail { print STDERR "$_[0]\n"; exit 1 }

my $timeout = 60;
(undef, $timeout) = splice @ARGV, 0, 2 if $ARGV[0] eq '--timeout';
my ($file, $host, $port, $index, $out) = @ARGV;
open my $torrent, '<:raw', $file or fail("$file: $!");
my $bytes = do { local $/; <$torrent> };

# Bencode, as far as a valid .torrent needs it.
my $info;
sub value {
    my ($depth) = @_;
    return $1 if $bytes =~ /\Gi(-?[0-9]+)e/gc;
    if ($bytes =~ /\Gl/gc) {
        my @list;
        push @list, value($depth + 1) until $bytes =~ /\Ge/gc;
        return \@list;
    }
    if ($bytes =~ /\Gd/gc) {
        my %entries;
        until ($bytes =~ /\Ge/gc) {
            my $key = value($depth + 1);
            my $start = pos $bytes;
            $entries{$key} = value($depth + 1);
            $info = substr $bytes, $start, pos($bytes) - $start if $depth == 0 && $key eq 'info';
        }
        return \%entries;
    }
    $bytes =~ /\G([0-9]+):/gc or fail("$file is not a .torrent");
    my $at = pos $bytes;
    pos($bytes) = $at + $1;
    return substr $bytes, $at, $1;
}
my $meta = value(0)->{info};
my ($length, $piece_length) = ($meta->{length}, $meta->{'piece length'});
my $pieces = length($meta->{pieces}) / 20;
fail("there is no piece $index") if $index >= $pieces;
my $size = $length - $index * $piece_length;
$size = $piece_length if $size > $piece_length;

my $socket = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port) or fail("$host:$port: $@");
$SIG{PIPE} = 'IGNORE';
my $select = IO::Select->new($socket);
my $deadline = time + $timeout;
my $received = '';

# Exactly so many bytes, or the end of the program.
sub receive {
    my ($n) = @_;
    while (length $received < $n) {
        my $left = $deadline - time;
        fail("nothing useful in $timeout s") if $left <= 0 || !$select->can_read($left);
        sysread $socket, $received, 65536, length $received or fail('the peer closed the connection');
    }
    return substr $received, 0, $n, '';
}

sub transmit { syswrite $socket, $_[0] }

my $peer_id = '-ST0007-' . join '', map { chr rand 256 } 1 .. 12;
transmit("\x13BitTorrent protocol" . "\0" x 8 . sha1($info) . $peer_id);
my $handshake = receive(68);
fail('not BitTorrent') if substr($handshake, 0, 20) ne "\x13BitTorrent protocol";
fail('the peer has another torrent') if substr($handshake, 28, 20) ne sha1($info);
$deadline = time + $timeout;

my %missing = map { $_ * 16384 => 1 } 0 .. int(($size - 1) / 16384);
my (%requested, %blocks, %has);
my ($choked, $interested) = (1, 0);
my %lengths = (0 => 1, 1 => 1, 2 => 1, 3 => 1, 4 => 5, 5 => 1 + int(($pieces + 7) / 8), 6 => 13, 8 => 13);

sub block_length { my $left = $size - $_[0]; return $left < 16384 ? $left : 16384 }

while (%missing) {
    my $length = unpack 'N', receive(4);
    fail("a message of $length bytes") if $length > 65536;
    next if $length == 0;    # keep-alive
    my $message = receive($length);
    my $id = ord $message;
    fail("message $id has $length bytes") if exists $lengths{$id} && $lengths{$id} != $length;
    if ($id == 0) { $choked = 1; %requested = () }
    if ($id == 1) { $choked = 0; $deadline = time + $timeout }
    if ($id == 4) {
        my $which = unpack 'x N', $message;
        fail("have of piece $which") if $which >= $pieces;
        $has{$which} = 1;
    }
    if ($id == 5) {
        my $bits = unpack 'x B*', $message;
        fail('a bit beyond the last piece') if substr($bits, $pieces) =~ /1/;
        for (0 .. $pieces - 1) { $has{$_} = 1 if substr $bits, $_, 1 }
    }
    if ($id == 7) {
        fail('a short piece message') if $length < 9;
        my ($which, $begin) = unpack 'x N N', $message;
        fail("a block of piece $which") if $which >= $pieces;
        if ($which == $index && $requested{$begin} && $length - 9 == block_length($begin)) {
            $blocks{$begin} = substr $message, 9;
            delete $missing{$begin};
            delete $requested{$begin};
            $deadline = time + $timeout;
        }
    }
    next unless $has{$index};
    transmit("\0\0\0\1\2") if !$interested++;
    next if $choked;
    for my $begin (sort { $a <=> $b } keys %missing) {
        last if keys %requested >= 20;
        next if $requested{$begin}++;
        transmit(pack 'N C N N N', 13, 6, $index, $begin, block_length($begin));
    }
}
my $piece = join '', map { $blocks{$_} } sort keys %blocks;
fail("piece $index has a wrong hash") if sha1($piece) ne substr $meta->{pieces}, 20 * $index, 20;
open my $file_out, '>:raw', $out or fail("$out: $!");
print {$file_out} $piece;
close $file_out or fail("$out: $!");
exit 0;
