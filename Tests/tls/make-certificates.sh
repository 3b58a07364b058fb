#!/bin/sh
# make-certificates.sh FOLDER: the certificates that the TLS tests work with.
set -eu
cd "$1"
exec >make.log 2>&1

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }

# issue NAME ISSUER SUBJECT EXTENSIONS [START END]: a key and a certificate.
issue() {
    key "$1"
    openssl req -new -key "$1.key" -subj "$3" -out "$1.csr"
    printf '%b' "$4" >"$1.ext"
    mkdir -p "ca-$1"
    : >"ca-$1/index"
    openssl rand -hex 8 >"ca-$1/serial"
    cat >"ca-$1/conf" <<CONF
[ca]
default_ca = it
[it]
database = ca-$1/index
serial = ca-$1/serial
new_certs_dir = ca-$1
default_md = sha256
policy = any
[any]
commonName = optional
CONF
    if [ "$2" = "$1" ]; then how="-selfsign -keyfile $1.key"; else how="-cert $2.pem -keyfile $2.key"; fi
    openssl ca -batch -notext -config "ca-$1/conf" $how -in "$1.csr" -out "$1.pem" -extfile "$1.ext" \
        -startdate "${5:-20200101000000Z}" -enddate "${6:-20491231000000Z}"
}

authority='basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n'
leaf='basicConstraints=CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n'
local="${leaf}subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\n"

issue root root /CN=Root "$authority"
issue middle root /CN=Middle "${authority}authorityKeyIdentifier=keyid\n"
issue server middle /CN=server "$local"
issue expired middle /CN=expired "$local" 20200101000000Z 20210101000000Z
issue future middle /CN=future "$local" 20480101000000Z 20491231000000Z
issue other middle /CN=localhost "${leaf}subjectAltName=DNS:example.org,DNS:*.example.net\n"
issue nameless middle /CN=localhost "$leaf"
issue client middle /CN=client "${leaf}extendedKeyUsage=clientAuth\n"
issue self self /CN=self "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n"
issue stranger-root stranger-root /CN=Stranger "$authority"
issue stranger stranger-root /CN=stranger "$local"

for name in server expired future other nameless client; do cat $name.pem middle.pem >$name-chain.pem; done
cat stranger.pem stranger-root.pem >stranger-chain.pem
# Right but for the order in which it is sent; and one that begins with the wrong certificate.
cat server.pem root.pem middle.pem >shuffled-chain.pem
cat middle.pem server.pem >reversed-chain.pem
cat server-chain.pem server.key >all-in-one.pem
openssl pkey -in server.key -aes256 -passout pass:secret -out locked.key
sed 's/^\(...........\)...../\1AAAAA/' server.pem >damaged.pem
