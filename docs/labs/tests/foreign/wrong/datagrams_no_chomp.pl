# Wrong: no chomp, so the client sends the line end; and the server chomps what it receives.
use strict;
use warnings;
use IO::Socket::INET;
use Encode;
$| = 1;
my ($role, @rest) = @ARGV;
if ($role eq 'server') {
    my $socket = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1', LocalPort => $rest[0])
        or die "bind: $@";
    while (1) {
        my $from = $socket->recv(my $bytes, 65536);
        next unless defined $from;
        chomp $bytes;
        my $text = eval { decode('UTF-8', $bytes, Encode::FB_CROAK) };
        next unless defined $text;
        $socket->send(encode('UTF-8', uc $text), 0, $from);
    }
} else {
    my ($host, $port) = @rest;
    my $socket = IO::Socket::INET->new(Proto => 'udp', PeerAddr => $host, PeerPort => $port) or die $@;
    my $line = <STDIN>;
    $socket->send($line);
    $SIG{ALRM} = sub { die "no reply in 3 s\n" };
    alarm 3;
    defined $socket->recv(my $reply, 65536) or die "recv: $!\n";
    chomp $reply;
    print "$reply\n";
}
