#!/usr/bin/env bash
# Make registry.local/python-base:bookworm, a Debian with Python 3.11, where no registry is reachable.
#
# usage: images/base.sh [--force]
#
# Needs root, buildah and debootstrap; DEBIAN_MIRROR names a mirror other than the usual one. Made once, in about a minute and a half, and kept as a file
# in the cache folder ($DASK_FLOWS_CACHE); from there it comes back in a few seconds.
set -euo pipefail

image=registry.local/python-base:bookworm
suite=bookworm
packages=python3,python3-venv,ca-certificates

fail() { echo "error: $1" >&2; exit 2; }

case "${1:-}" in
  "") ;;
  --force) ;;
  *) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || fail "images/base.sh needs root: use sudo"
for command in buildah debootstrap; do
  command -v $command >/dev/null || fail "no $command: apt-get install --yes $command"
done

export STORAGE_DRIVER=${STORAGE_DRIVER:-overlay} BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
folder=${DASK_FLOWS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dask-flows}/images
# The archive's name carries the hash of this script, so that a change of it makes a new base.
archive=$folder/python-base-$suite-$(sha256sum "$0" | cut -c1-12).tar
mkdir -p "$folder"

restore() {
  [ "$(buildah images --format '{{.ID}}' "$image" 2>/dev/null)" ] && [ -f "$archive" ] && return
  [ -f "$archive" ] || return 1
  buildah pull --quiet "oci-archive:$archive" >/dev/null
}

# Take out what no container reads; the licences stay. Later apt-get calls follow the same rules.
slim() {
  cat > "$1/etc/dpkg/dpkg.cfg.d/slim" <<'RULES'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
RULES
  find "$1/usr/share/doc" -type f ! -name copyright -delete
  find "$1/usr/share/doc" -depth -type d -empty -delete
  rm -rf "$1"/usr/share/{info,locale,man}/* "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* \
    "$1"/var/log/* "$1"/var/cache/debconf/*-old "$1"/etc/{hostname,resolv.conf} "$1"/etc/*-
  find "$1/usr/lib" -depth -type d -name __pycache__ -exec rm -rf {} +
  local mirror  # the one that debootstrap used
  mirror=$(awk '/^deb /{print $2; exit}' "$1/etc/apt/sources.list")
  cat > "$1/etc/apt/sources.list" <<SOURCES
deb $mirror $suite main
deb $mirror $suite-updates main
SOURCES
}

make() {
  local container root
  container=$(buildah from scratch)
  # shellcheck disable=SC2064  # the name is known now and gone later
  trap "buildah rm $container >/dev/null" EXIT
  root=$(buildah mount "$container")
  debootstrap --variant=minbase --include=$packages $suite "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} \
    > "$folder/debootstrap.log" 2>&1 || fail "debootstrap failed: see $folder/debootstrap.log"
  slim "$root"
  buildah umount "$container" >/dev/null
  buildah config --env LANG=C.UTF-8 --cmd python3 \
    --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah commit --quiet "$container" "$image" >/dev/null
  rm -f "$folder/python-base-$suite-"*.tar
  buildah push --quiet --disable-compression "$image" "oci-archive:$archive.part:$image"
  mv "$archive.part" "$archive"
}

if [ "${1:-}" = --force ] || ! restore; then
  echo "making $image with debootstrap (about 90 s) …" >&2
  make
fi
buildah images --format '{{.Name}}:{{.Tag}} {{.Size}}' "$image"
