"""The program in front of a bucket with a public name: nginx, set up from variables alone. Pure text.

Variables: `NAME` (the public name), `BUCKET_URL` (the bucket's own address, `https://host`), `CERTIFICATE` (the
chain) and `PRIVATE_KEY` as PEM, `CACHE_BYTES`. It answers at `PORT_443` with that certificate: GET and HEAD are
asked of the bucket, whose errors pass; what its Cache-Control allows is kept, up to `CACHE_BYTES`, and shown while
the bucket does not answer. Plain HTTP at `PORT_80` leads there. `/healthz` is answered at both.

Facts: nginx.org, ngx_http_proxy_module (a request that may be kept goes without Range and conditions, which nginx
answers itself; `proxy_force_ranges` is for answers that may not be kept) and ngx_http_core_module (`resolver`: a
host in a variable is looked up as its TTL says, others at the start only); the image `nginx`, which is based on
Debian and has ca-certificates.
"""

from __future__ import annotations

from collections.abc import Mapping

IMAGE = "nginx:1.28"
HTTPS, HTTP = 443, 80
HEALTH = "/healthz"
CACHE_BYTES = 5 * 1024**3
VARIABLES = ("NAME", "BUCKET_URL", "CERTIFICATE", "PRIVATE_KEY", "CACHE_BYTES")

_CONFIGURATION = r"""
worker_processes auto;
pid /tmp/proxy/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off;
  server_tokens off;
  resolver $resolvers;
  proxy_cache_path /tmp/proxy/kept use_temp_path=off
    levels=1:2 keys_zone=kept:16m inactive=30d max_size=$CACHE_BYTES;
  server {
    listen $PORT_80;
    location = /healthz { default_type text/plain; return 200 "ok\n"; }
    location / { return 301 https://$NAME\$request_uri; }
  }
  server {
    listen $PORT_443 ssl;
    http2 on;
    server_name $NAME;
    ssl_certificate /tmp/proxy/chain.pem;
    ssl_certificate_key /tmp/proxy/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:10m;
    client_max_body_size 1k;
    location = /healthz { default_type text/plain; return 200 "ok\n"; }
    location / {
      if (\$request_method !~ ^(GET|HEAD)\$) {
        add_header Allow "GET, HEAD" always;
        return 405;
      }
      set \$bucket $BUCKET_URL;
      proxy_pass \$bucket;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Connection "";
      proxy_set_header Authorization "";
      proxy_set_header Cookie "";
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_ssl_server_name on;
      proxy_ssl_name $name;
      proxy_ssl_verify on;
      proxy_ssl_verify_depth 4;
      proxy_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;
      proxy_cache kept;
      proxy_cache_key \$request_method\$request_uri;
      proxy_cache_convert_head off;
      proxy_cache_lock on;
      proxy_cache_revalidate on;
      proxy_cache_background_update on;
      proxy_cache_use_stale error timeout updating http_500 http_502 http_503 http_504;
      proxy_force_ranges on;
      add_header X-Cache \$upstream_cache_status;
    }
  }
}
"""
# A brace behind a dollar sign would be a reference of the stack file. nginx takes no resolver with a scope.
_START = """\
set -eu
umask 077
mkdir -p /tmp/proxy
printf '%s\\n' "$CERTIFICATE" > /tmp/proxy/chain.pem
printf '%s\\n' "$PRIVATE_KEY" > /tmp/proxy/key.pem
host=$(printf %s "$BUCKET_URL" | cut -d / -f 3)
name=$(printf %s "$host" | cut -d : -f 1)
resolvers=$(sed -n 's/^nameserver  *\\([^ %]*\\) *$/\\1/p' /etc/resolv.conf | sed 's/.*:.*/[&]/' | tr '\\n' ' ')
cat > /tmp/proxy/nginx.conf <<NGINX
{configuration}NGINX
exec nginx -c /tmp/proxy/nginx.conf -g 'daemon off;'
"""


def command() -> tuple[str, ...]:
    """What the container runs."""
    return ("sh", "-c", _START.replace("{configuration}", _CONFIGURATION.lstrip()))


def environment(name: str, url: str, chain: str, key: str) -> Mapping[str, str]:
    """Its variables; each may be a text with references."""
    return dict(zip(VARIABLES, (name, url, chain, key, str(CACHE_BYTES)), strict=True))
