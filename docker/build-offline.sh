#!/usr/bin/env bash
# Builds the image where no image registry can be reached, and without a daemon: both bases are made of a root file system
# that is already on this machine, such as one made by debootstrap.
#
#   docker/build-offline.sh ROOTFS [TAG]
#
#   ROOTFS  a folder with a Linux that has a shell, coreutils, sed, awk, glibc, libgcc, libstdc++ and libatomic:
#             debootstrap --variant=minbase --include=ca-certificates,libstdc++6,libatomic1 bookworm ROOTFS
#           It is read only; nothing is written to it.
#   TAG     default: localhost/sallyport:dev
#
# Environment:
#   NODE            the Node binary of the image                   default: `node` of PATH
#   NPM             the folder of the npm package that builds      default: that of `npm` of PATH
#   STORAGE_DRIVER  `vfs` where overlay file systems do not work   default: buildah's own choice
#
# Packages come from the registry that npm is set to on this machine, with its certificates.
#
# Needs buildah, and root (or `buildah unshare`). What it makes besides the image is removed at the end.
set -euo pipefail

if [ $# -lt 1 ] || [ ! -d "$1/usr" ]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2
  exit 2
fi
rootfs=$(cd "$1" && pwd)
tag=${2:-localhost/sallyport:dev}
cd "$(dirname "$0")/.."
node=$(readlink -f "${NODE:-$(command -v node)}")
npm=${NPM:-$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")}
[ -f "$npm/bin/npm-cli.js" ] || { echo "$npm: no npm is there; set NPM to the folder of the npm package" >&2; exit 1; }

export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
buildah() { command buildah ${STORAGE_DRIVER:+--storage-driver "$STORAGE_DRIVER"} "$@"; }
# OCI images have no HEALTHCHECK; Docker's do.
export BUILDAH_FORMAT=docker

containers=()
images=()
settings=$(mktemp -d)
cleanup() {
  for each in "${containers[@]}"; do buildah rm "$each" >/dev/null || true; done
  for each in "${images[@]}"; do buildah rmi --force "$each" >/dev/null || true; done
  rm -rf "$settings"
}
trap cleanup EXIT

# What the builder's npm must know of this machine: which registry, and whom to trust for it.
printf 'registry=%s\n' "$(npm config get registry)" >"$settings/npmrc"
authorities=${NODE_EXTRA_CA_CERTS:-$(npm config get cafile)}
if [ -f "$authorities" ]; then
  cp -L "$authorities" "$settings/authorities.pem"
  echo 'cafile=/settings/authorities.pem' >>"$settings/npmrc"
fi

runtime=$(buildah from scratch)
containers+=("$runtime")
buildah copy --quiet "$runtime" "$rootfs" / >/dev/null
buildah commit --quiet "$runtime" localhost/sallyport-runtime-base >/dev/null
images+=(localhost/sallyport-runtime-base)

buildah copy --quiet --chmod 0755 "$runtime" "$node" /usr/local/bin/node >/dev/null
buildah copy --quiet "$runtime" "$npm" /usr/local/lib/node_modules/npm >/dev/null
buildah run "$runtime" -- ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
buildah commit --quiet "$runtime" localhost/sallyport-build-base >/dev/null
images+=(localhost/sallyport-build-base)

buildah build --file docker/Dockerfile --tag "$tag" --pull-never \
  --build-arg BUILD_BASE=localhost/sallyport-build-base \
  --build-arg RUNTIME_BASE=localhost/sallyport-runtime-base \
  --secret "id=npmrc,src=$settings/npmrc" \
  --volume "$settings:/settings:ro" \
  .

# What the sizes are, without the base: that is a choice of whoever builds.
built=$(buildah from --pull-never "$tag")
containers+=("$built")
root=$(buildah mount "$built")
size() { du -s --apparent-size --block-size=1 "$@" | awk '{ sum += $1 } END { printf "%.1f MB", sum / 1e6 }'; }
echo
echo "$tag"
echo "  base          $(size "$rootfs")"
echo "  node          $(size "$root/usr/local/bin/node")"
echo "  dependencies  $(size "$root/app/node_modules")"
echo "  sallyport     $(size "$root/app/bin" "$root/app/dist" "$root/app/package.json")"
