# Wrong: the length of the answer is that of the text in characters, not in bytes. One process for each client.
use strict;
use warnings;
use IO::Socket::INET;
use Encode;
$SIG{CHLD} = 'IGNORE';
my ($role, $port) = @ARGV;
$role eq 'framed-server' or die "only the framed server is done\n";
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 64, ReuseAddr => 1)
    or die "bind: $@";

sub receive {
    my ($socket, $n) = @_;
    my $bytes = '';
    while (length $bytes < $n) {
        my $got = sysread $socket, $bytes, $n - length $bytes, length $bytes;
        return undef unless $got;
    }
    return $bytes;
}

while (1) {
    my $socket = $listener->accept or next;
    if (fork) {
        close $socket;
        next;
    }
    while (defined(my $head = receive($socket, 4))) {
        my $length = unpack 'N', $head;
        last if $length > 65536;
        my $bytes = receive($socket, $length);
        last unless defined $bytes;
        my $text = uc decode('UTF-8', $bytes);
        print {$socket} pack('N', length $text), encode('UTF-8', $text);
        $socket->flush;
    }
    exit 0;
}
