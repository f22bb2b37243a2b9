#!/bin/sh
# Deploys a certificate as shell hooks do it: curl for the request, openssl for the HMAC, the signature in the URL, all
# else in the form body, and success read from the absence of "Message" in the answer.
#
# usage: ali_cdn.sh "DOMAIN..." FULLCHAIN KEY   (Ali_CDN_API, Ali_Key, Ali_Secret in the environment)
#
# Ends with 1 if a domain was refused; the others are tried all the same.
set -eu

domains=$1 fullchain=$2 key=$3
action=${Ali_Action:-SetCdnDomainSSLCertificate} version=${Ali_Version:-2018-05-10}

# RFC 3986: all but the unreserved characters as %XY, upper case.
url_encode() {
  od -An -v -tx1 | LC_ALL=C awk '
    BEGIN {
      for (n = 0; n < 256; n++) {
        hex = sprintf("%02x", n); char = sprintf("%c", n)
        text[hex] = n < 128 && char ~ /[A-Za-z0-9_.~-]/ ? char : "%" toupper(hex)
      }
    }
    { for (i = 1; i <= NF; i++) printf "%s", text[$i] }'
}

deploy() {
  query="AccessKeyId=$Ali_Key"
  query="$query&Action=$action"
  query="$query&CertType=upload"
  query="$query&DomainName=$(printf %s "$1" | url_encode)"
  query="$query&Format=json"
  query="$query&SSLPri=$(url_encode <"$key")"
  query="$query&SSLProtocol=on"
  query="$query&SSLPub=$(url_encode <"$fullchain")"
  query="$query&SignatureMethod=HMAC-SHA1"
  query="$query&SignatureNonce=$(openssl rand -hex 16)"
  query="$query&SignatureVersion=1.0"
  query="$query&Timestamp=$(date -u +'%Y-%m-%dT%H%%3A%M%%3A%SZ')"
  query="$query&Version=$version"

  signature=$(printf 'POST&%%2F&%s' "$(printf %s "$query" | url_encode)" |
    openssl dgst -sha1 -hmac "$Ali_Secret&" -binary | openssl base64 -A)

  response=$(printf %s "$query" |
    curl -sS --max-time 30 --data @- "$Ali_CDN_API?Signature=$(printf %s "$signature" | url_encode)")

  if printf %s "$response" | grep -q '"Message":"'; then
    printf '%s\n' "$response" | sed -n 's/.*"Message":"\([^"]*\)".*/\1/p' >&2
    return 1
  fi
}

status=0
for domain in $domains; do
  deploy "$domain" || status=1
done
exit $status
