#!/bin/sh
# The same for DCDN: another action of another version at (there) another endpoint.
#
# usage: ali_dcdn.sh "DOMAIN..." FULLCHAIN KEY   (Ali_DCDN_API, Ali_Key, Ali_Secret in the environment)
set -eu
export Ali_CDN_API="$Ali_DCDN_API" Ali_Action=SetDcdnDomainSSLCertificate Ali_Version=2018-01-15
exec "$(dirname "$0")/ali_cdn.sh" "$@"
