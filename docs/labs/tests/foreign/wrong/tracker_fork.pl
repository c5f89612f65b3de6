# Wrong: a process for each client, and the table of peers is in memory: each process changes a copy of its own.
use strict;
use warnings;
use IO::Socket::INET;
$SIG{CHLD} = 'IGNORE';
my ($port, $interval) = @ARGV;
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 64, ReuseAddr => 1)
    or die "bind: $@";
my %swarms;

sub bencode {
    my ($value) = @_;
    return 'd' . join('', map { bencode($_) . bencode($value->{$_}) } sort keys %$value) . 'e' if ref $value eq 'HASH';
    return "i${$value}e" if ref $value;
    return length($value) . ":$value";
}

sub counts {
    my ($swarm) = @_;
    my $seeds = grep { $_->{left} == 0 } values %{ $swarm->{peers} };
    my $others = keys(%{ $swarm->{peers} }) - $seeds;
    return (complete => \$seeds, incomplete => \$others);
}

sub announce {
    my ($query, $address) = @_;
    my $hash = $query->{info_hash}[0] // '';
    return { 'failure reason' => 'info_hash must be 20 bytes' } if length $hash != 20;
    return { 'failure reason' => 'peer_id must be 20 bytes' } if length($query->{peer_id}[0] // '') != 20;
    my $listens = $query->{port}[0] // '';
    return { 'failure reason' => 'port must be 1 to 65535' }
        unless $listens =~ /\A[0-9]{1,5}\z/ && $listens >= 1 && $listens <= 65535;
    my $left = $query->{left}[0] // '';
    return { 'failure reason' => 'left must be a number' } unless $left =~ /\A[0-9]{1,18}\z/;
    my $swarm = $swarms{$hash} //= { peers => {}, completed => {} };
    for my $key (keys %{ $swarm->{peers} }) {
        delete $swarm->{peers}{$key} if time - $swarm->{peers}{$key}{seen} > 2 * $interval;
    }
    my $compact = $address . pack('n', $listens);
    my $event = $query->{event}[0] // '';
    $swarm->{completed}{$compact} = 1 if $event eq 'completed';
    if ($event eq 'stopped') { delete $swarm->{peers}{$compact} }
    else { $swarm->{peers}{$compact} = { left => $left, seen => time } }
    my $wanted = ($query->{numwant}[0] // '') =~ /\A([0-9]{1,9})\z/ ? $1 : 50;
    $wanted = 0 if $event eq 'stopped';
    $wanted = 200 if $wanted > 200;
    my @others = grep { $_ ne $compact && ($left || $swarm->{peers}{$_}{left}) } keys %{ $swarm->{peers} };
    my $peers = '';
    $peers .= splice @others, rand @others, 1 while @others && $wanted-- > 0;
    return { interval => \$interval, counts($swarm), peers => $peers };
}

sub scrape {
    my ($query) = @_;
    my %files;
    for my $hash (@{ $query->{info_hash} }) {
        my $swarm = $swarms{$hash} or next;
        my $downloaded = keys %{ $swarm->{completed} };
        $files{$hash} = { counts($swarm), downloaded => \$downloaded };
    }
    return { files => \%files };
}

while (1) {
    my $client = $listener->accept or next;
    next if fork;
    my $request = <$client> // '';
    while (defined(my $line = <$client>)) { last if $line =~ /\A\r?\n\z/ }
    my ($target) = $request =~ m{\AGET (\S+) HTTP/1};
    exit 0 unless defined $target;
    my ($path, $text) = split /\?/, $target, 2;
    my %query;
    for my $part (split /&/, $text // '') {
        my ($name, $value) = split /=/, $part, 2;
        ($value //= '') =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
        push @{ $query{$name} }, $value;
    }
    my $answer = $path eq '/announce' ? announce(\%query, $client->peeraddr) : $path eq '/scrape' ? scrape(\%query) : undef;
    my ($status, $body) = $answer ? ('200 OK', bencode($answer)) : ('404 Not Found', '');
    print {$client} "HTTP/1.1 $status\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body";
    close $client;
    exit 0;
}
