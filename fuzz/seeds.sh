#!/bin/sh
# Creates the seeds of the fuzz targets: small chains and keys of each kind by openssl; requests; policies.
set -eu

corpus="$(dirname "$0")/corpus/pem_validation"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir -p "$corpus"

# part CHAIN KEY NAME: one seed, chain and key separated by 0xff.
part() {
    { cat "$1"; printf '\377'; cat "$2"; } > "$corpus/$3"
}

# sign NAME ISSUER EXTENSIONS: issues NAME.pem for NAME.key.
sign() {
    openssl req -new -key "$work/$1.key" -subj "/CN=$1" -out "$work/$1.csr"
    printf '%s\n' "$3" > "$work/extensions"
    openssl x509 -req -in "$work/$1.csr" -CA "$work/$2.pem" -CAkey "$work/$2.key" \
        -days 30000 -extfile "$work/extensions" -out "$work/$1.pem" 2> /dev/null
}

ec() { openssl ecparam -genkey -name "$1" -noout; }

ec prime256v1 > "$work/root.key"
openssl req -x509 -key "$work/root.key" -subj /CN=root -days 30000 -out "$work/root.pem"
ec prime256v1 > "$work/intermediate.key"
sign intermediate root "basicConstraints=CA:TRUE
keyUsage=keyCertSign"

ec prime256v1 > "$work/p256.key"
ec secp384r1 > "$work/p384.key"
ec secp521r1 > "$work/p521.key"
openssl genpkey -algorithm ED25519 -out "$work/ed25519.key"
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$work/rsa.key" 2> /dev/null
for kind in p256 p384 p521 ed25519 rsa; do
    sign "$kind" intermediate "subjectAltName=DNS:www.example.com,DNS:*.example.com,IP:192.0.2.1"
    cat "$work/$kind.pem" "$work/intermediate.pem" > "$work/chain"
    part "$work/chain" "$work/$kind.key" "$kind"
done

openssl rsa -in "$work/rsa.key" -traditional -out "$work/pkcs1.key" 2> /dev/null
openssl pkcs8 -topk8 -nocrypt -in "$work/p256.key" -out "$work/pkcs8.key"
openssl ec -in "$work/p256.key" -aes128 -passout pass:x -out "$work/encrypted.key" 2> /dev/null
part "$work/rsa.pem" "$work/pkcs1.key" pkcs1
part "$work/p256.pem" "$work/pkcs8.key" pkcs8
part "$work/p256.pem" "$work/encrypted.key" encrypted
cat "$work/root.pem" "$work/intermediate.pem" "$work/p256.pem" > "$work/chain"
part "$work/chain" "$work/p256.key" root-first
part "$work/root.pem" "$work/root.key" self-signed
part "$work/p256.pem" "$work/p384.key" mismatch

# Requests as the official clients sent them: query, content type, body, a line each.
requests="$(dirname "$0")/corpus/request"
mkdir -p "$requests"
for file in "$(dirname "$0")"/../spec/wire/*.http; do
    {
        sed -n '1s/^[A-Z]* \/?*\([^ ]*\) HTTP.*/\1/p' "$file"
        echo application/x-www-form-urlencoded
        sed '1,/^\r$/d' "$file"
    } > "$requests/$(basename "$file")"
done

# Policies: each element, operator and principal in one or two forms.
policies="$(dirname "$0")/corpus/policy"
mkdir -p "$policies"
count=0
policy() {
    count=$((count + 1))
    printf '{"Version":"1","Statement":%s}' "$1" > "$policies/$count"
}
policy '{"Effect":"Allow","Action":"*","Resource":"*"}'
policy '[{"Effect":"Deny","NotAction":["cdn:Describe*","ram:?et*"],"NotResource":["acs:cdn:*:*:domain/*.Example.com"]}]'
for condition in \
    '"StringEquals":{"acs:ResourceTag/env":["test",""]},"StringNotEquals":{"sts:ExternalId":"abc"}' \
    '"StringEqualsIgnoreCase":{"acs:ResourceTag/env":"TEST"},"StringNotEqualsIgnoreCase":{"a:b":"x"}' \
    '"StringLike":{"acs:SourceIp":"10.*"},"StringNotLike":{"acs:CurrentTime":"202?-*"}' \
    '"NumericEquals":{"sts:ExternalId":"5"},"NumericNotEquals":{"a:b":"-1.5"},"NumericLessThan":{"a:b":"0.000000001"}' \
    '"NumericLessThanEquals":{"a:b":"1"},"NumericGreaterThan":{"a:b":"1"},"NumericGreaterThanEquals":{"a:b":["1","2"]}' \
    '"DateEquals":{"acs:CurrentTime":"2026-05-01T12:00:00Z"},"DateNotEquals":{"acs:CurrentTime":"2026-05-01T20:00:00+08:00"}' \
    '"DateLessThan":{"acs:CurrentTime":"2026-05-01T12:00:00.5Z"},"DateGreaterThanEquals":{"acs:CurrentTime":"2000-02-29T00:00:00Z"}' \
    '"Bool":{"acs:SecureTransport":"true","acs:MFAPresent":["false"]}' \
    '"IpAddress":{"acs:SourceIp":["10.0.0.0/8","10.1.*","2001:db8::/32"]},"NotIpAddress":{"acs:SourceIp":"::ffff:10.1.2.3/128"}'
do
    policy '[{"Effect":"Allow","Action":"cdn:*","Resource":"acs:cdn:*:*:*","Condition":{'"$condition"'}}]'
    policy '{"Effect":"Deny","Principal":{"RAM":"acs:ram::1234567890123456:root"},"Action":"sts:*","Condition":{'"$condition"'}}'
done
policy '{"Effect":"Allow","Principal":{"RAM":["acs:ram::1234567890123456:user/alice","acs:ram::1234567890123456:role/r"],"Service":"ecs.aliyuncs.com"},"Action":"sts:AssumeRole"}'
policy '{"Effect":"Allow","Principal":{"Federated":"acs:ram::1234567890123456:oidc-provider/ci"},"Action":["sts:AssumeRole"]}'
