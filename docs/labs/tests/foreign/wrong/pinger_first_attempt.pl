# Wrong: the RTT is measured from the first attempt of a ping, not from the one that the echo names.
use strict;
use warnings;
use IO::Socket::INET;
use IO::Select;
use List::Util qw(min max sum);
use Time::HiRes qw(time);
$| = 1;
my ($host, $port, $count) = @ARGV;
my $socket = IO::Socket::INET->new(Proto => 'udp', PeerAddr => $host, PeerPort => $port) or die "$@\n";
my $select = IO::Select->new($socket);
my ($sent, @rtts) = (0);
PING: for my $ping (1 .. $count) {
    my $start = time;
    for my $attempt (1 .. 3) {
        my $deadline = time + 0.2;
        $socket->send("$ping $attempt");
        $sent++;
        while ((my $left = $deadline - time) > 0) {
            $select->can_read($left) or last;
            defined $socket->recv(my $echo, 2048) or next;
            next unless $echo =~ /\A$ping ([1-3])\z/ and $1 <= $attempt;
            my $rtt = (time - $start) * 1000;
            push @rtts, $rtt;
            printf "reply %d %d %.1f\n", $ping, $1, $rtt;
            next PING;
        }
    }
    print "lost $ping\n";
}
printf "%d pings, %d sent, %d replied, %d lost", $count, $sent, scalar @rtts, $count - @rtts;
printf ", rtt min/avg/max %.1f/%.1f/%.1f ms", min(@rtts), sum(@rtts) / @rtts, max(@rtts) if @rtts;
print "\n";
