#!/usr/bin/env bash
# Runs an image as compose.yaml does, on networks that lead nowhere, and says what holds: docker/check.sh [IMAGE] AGENT
#
#   IMAGE   what docker/Dockerfile makes; default: localhost/sallyport:dev
#   AGENT   an image with a shell and curl, such as buildpack-deps:trixie-scm
#
# Environment: ENGINE (docker or podman; default: docker where its daemon answers), RUN_OPTIONS (more options of `run`).
# Origin and collector are small Node programs, run by the Node of IMAGE; nothing leaves the machine.
set -euo pipefail
[ $# -gt 0 ] || { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
[ $# -gt 1 ] || set -- localhost/sallyport:dev "$1"
image=$1 agent_image=$2
engine=${ENGINE:-$(docker info >/dev/null 2>&1 && echo docker || echo podman)}
read -ra run_options <<<"${RUN_OPTIONS:-}"

name=sallyport-check-$$
files=$(mktemp -d)
containers=() networks=() failed=0
cleanup() {
  for each in "${containers[@]}"; do "$engine" rm --force --volumes "$each" || true; done
  for each in "${networks[@]}"; do "$engine" network rm "$each" || true; done
  "$engine" volume rm "$name-state" || true
  rm -rf "$files"
}
trap 'cleanup >/dev/null 2>&1' EXIT

check() { # check SENTENCE EXPECTED ACTUAL: the actual text must match the pattern
  if [[ $3 =~ $2 ]]; then echo "ok      $1"; else echo "FAILED  $1: expected $2, got: $3"; failed=1; fi
}
network() {
  "$engine" network create --internal "${@:2}" "$name-$1" >/dev/null
  networks+=("$name-$1")
}
container() { # container NAME RUN-ARGUMENTS…
  containers+=("$name-$1")
  "$engine" run --detach --name "$name-$1" --read-only --tmpfs /tmp --cap-drop ALL \
    --security-opt no-new-privileges "${run_options[@]}" "${@:2}" >/dev/null
}
proxy() {
  container "$1" --network "$name-inside" --network-alias proxy --volume "$name-state:/var/lib/sallyport" \
    --volume "$files/config:/etc/sallyport:ro" \
    --env OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 --env SALLYPORT_HOLD_WAIT=2s \
    --env SALLYPORT_POLICY_ALLOWED_DOMAINS=allowed.test --env SALLYPORT_POLICY_DENIED_DOMAINS=denied.test \
    "$image"
  "$engine" network connect "$name-outside" "$name-$1"
  "$engine" network connect "$name-record" "$name-$1"
}
inside() { "$engine" exec "$name-agent" "$@" 2>&1 || echo "exit $?"; }
status() { inside curl --silent --show-error --insecure --max-time 20 --output /dev/null --write-out '%{http_connect} %{http_code}' "$@"; }
sallyport() { "$engine" exec "$name-$1" sallyport "${@:2}"; }
node() { "$engine" exec "$name-$1" node --eval "$2"; }
health() { # the image's own HEALTHCHECK
  local command
  read -ra command <<<"$("$engine" inspect --format '{{join .Config.Healthcheck.Test " "}}' "$name-$1")"
  "$engine" exec "$name-$1" "${command[@]:1}" >/dev/null 2>&1
}
until_ready() {
  for _ in $(seq 150); do
    if health "$1"; then return; fi
    sleep 0.2
  done
  "$engine" logs "$name-$1" >&2
  return 1
}
address() { "$engine" inspect --format "{{(index .NetworkSettings.Networks \"$name-$2\").IPAddress}}" "$name-$1"; }

# The origin has addresses that are public elsewhere: the guard refuses private ones, and this network leads nowhere.
network inside
network outside --subnet 11.22.33.0/24
network record
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=allowed.test \
  -keyout "$files/key.pem" -out "$files/cert.pem" 2>/dev/null
cat >"$files/origin.cjs" <<'NODE'
const { readFileSync } = require('node:fs')
const hello = (request, response) => response.end('hello from the origin\n')
require('node:http').createServer(hello).listen(80)
const tls = { key: readFileSync('/files/key.pem'), cert: readFileSync('/files/cert.pem') }
require('node:https').createServer(tls, hello).listen(443)
NODE
cat >"$files/collector.cjs" <<'NODE'
require('node:http').createServer((request, response) => {
  let size = 0
  request.on('data', (bytes) => (size += bytes.length))
  request.on('end', () => {
    console.log(`${request.method} ${request.url} ${request.headers['content-type']} ${size}`)
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end()
  })
}).listen(4318)
NODE
cp -R "$(dirname "$0")/config" "$files/config"
chmod -R a+rX "$files"
container origin --network "$name-outside" --network-alias allowed.test --network-alias denied.test \
  --network-alias unfamiliar.test --user 0 --cap-add NET_BIND_SERVICE --volume "$files:/files:ro" \
  --no-healthcheck --entrypoint node "$image" /files/origin.cjs
container collector --network "$name-record" --network-alias collector --volume "$files:/files:ro" \
  --no-healthcheck --entrypoint node "$image" /files/collector.cjs
before=$(date +%s%N)
proxy proxy
until_ready proxy
echo "        ready after $((($(date +%s%N) - before) / 1000000)) ms, the engine's own work included"
container agent --network "$name-inside" --env http_proxy=http://proxy:3128 --env https_proxy=http://proxy:3128 \
  --entrypoint /bin/sleep "$agent_image" infinity

check 'the banner says where the proxy is and where the state lies' \
  'proxy +http://0\.0\.0\.0:3128.*/var/lib/sallyport/state/admin\.sock' "$("$engine" logs "$name-proxy" 2>&1)"
check 'it runs as user 65532, without capabilities, and can gain none' \
  'Uid:.65532.*CapPrm:.0+ .*CapBnd:.0+ .*NoNewPrivs:.1' \
  "$(node proxy 'console.log(require("fs").readFileSync("/proc/1/status", "utf8").replaceAll("\n", " "))')"
check 'its root is read-only' EROFS "$(node proxy 'try { require("fs").writeFileSync("/app/x", "") } catch (e) { console.log(e.code) }')"
check 'its state is private' '^700 600$' \
  "$(node proxy 'const m = (f) => (require("fs").statSync(f).mode & 0o777).toString(8); console.log(m("/var/lib/sallyport/state"), m("/var/lib/sallyport/state/admin.sock"))')"

check 'the agent cannot reach an origin without the proxy' 'exit (7|28)' \
  "$(inside curl --silent --noproxy '*' --max-time 3 "http://$(address origin outside)/")"
check 'the agent cannot reach the collector' 'exit (7|28)' \
  "$(inside curl --silent --noproxy '*' --max-time 3 "http://$(address collector record):4318/")"
check 'the agent cannot reach the collector through the proxy either' '403$' \
  "$(status "http://$(address collector record)/")"

check 'an allowed host passes' '^hello from the origin' "$(inside curl --silent --show-error http://allowed.test/)"
check 'an allowed host passes in a tunnel' '^200 200$' "$(status https://allowed.test/)"
check 'a denied host does not' '403 000' "$(status https://denied.test/)"
check 'an unfamiliar host waits, and gets 503 when nobody answers' '^000 503$' "$(status http://unfamiliar.test/)"
inside curl --silent --retry 20 --retry-delay 1 http://unfamiliar.test/ >"$files/waiting" &
id=
for _ in $(seq 100); do
  id=$(sallyport proxy approvals --json | grep -oE '"id": *"[^"]+"' | head -1 | cut -d'"' -f4) && [ -n "$id" ] && break
  sleep 0.2
done
check 'an answer inside the container lets it through' 'allow' "$(sallyport proxy approvals allow "$id" --always 2>&1)"
wait $!
check 'and the agent that waited gets its response' 'hello from the origin' "$(cat "$files/waiting")"

(cat "$files/config/sallyport.toml" && echo 'nonsense = 1') >"$files/new" && chmod a+r "$files/new"
mv "$files/new" "$files/config/sallyport.toml"
for _ in $(seq 50); do [[ $("$engine" logs "$name-proxy" 2>&1) =~ refused ]] && break; sleep 0.2; done
check 'a saved file with a mistake in it is refused with file, line and field' \
  'sallyport\.toml:[0-9]+:.*nonsense' "$("$engine" logs "$name-proxy" 2>&1)"
check 'and leaves the proxy healthy, with what was in force' '^0 200 200$' \
  "$(health proxy; echo $?) $(status https://allowed.test/)"
cp "$(dirname "$0")/config/sallyport.toml" "$files/config/"

"$engine" kill --signal KILL "$name-proxy" >/dev/null
check 'healthcheck of a proxy that is down exits with 4' '^4$' "$("$engine" run --rm --read-only --network none --no-healthcheck \
  "${run_options[@]}" --volume "$name-state:/var/lib/sallyport" "$image" healthcheck >/dev/null 2>&1; echo $?)"
"$engine" rm "$name-proxy" >/dev/null
proxy again
until_ready again
check 'after kill -9 and in a new container the answer is still remembered' '^000 200$' \
  "$(status --proxy "http://$(address again inside):3128" http://unfamiliar.test/)"

before=$(date +%s%N)
"$engine" stop --time 25 "$name-again" >/dev/null
check "SIGTERM ends it in order ($((($(date +%s%N) - before) / 1000000)) ms)" '^0$' \
  "$("$engine" inspect --format '{{.State.ExitCode}}' "$name-again")"
check 'the collector has got the record' 'POST /v1/logs application/x-protobuf [1-9]' "$("$engine" logs "$name-collector" 2>&1)"
exit $failed
