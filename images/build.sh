#!/usr/bin/env bash
# Build an image with docker or buildah, whichever works here, and say what takes the space.
#
# usage: images/build.sh [OPTION…]
#   --tag NAME:TAG        name of the image (default registry.local/dask-flows:dev)
#   --base IMAGE          base image (default python:3.12-slim)
#   --file FILE           another Dockerfile, for an image of your own
#   --context DIR         its folder (default: the folder of FILE; without FILE the repository)
#   --build-arg KEY=VALUE passed on; may be repeated
#   --platform LIST       for example linux/amd64,linux/arm64 (more than one needs --push)
#   --push                push to the registry in NAME
#
# Where docker.io cannot be reached, buildah takes the base that images/base.sh makes.
# SOURCE_DATE_EPOCH, if set, becomes the time of every file, so that equal input gives an equal image.
# IMAGE_TOOL=docker or buildah chooses; PIP_INDEX_URL is passed on.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
default_base=docker.io/library/python:3.12-slim
tag=registry.local/dask-flows:dev
base='' file='' context='' platform='' push=''
arguments=()

fail() { echo "error: $1" >&2; exit 2; }
usage() { sed -n '2,16s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

while [ $# -gt 0 ]; do
  case "$1" in
    --push) push=yes; shift; continue ;;
    --help | -h) usage; exit 0 ;;
    --tag | --base | --file | --context | --build-arg | --platform)
      [ $# -gt 1 ] || fail "$1 needs a value" ;;
    *) usage >&2; fail "unknown option $1" ;;
  esac
  case "$1" in
    --tag) tag=$2 ;;
    --base) base=$2 ;;
    --file) file=$2 ;;
    --context) context=$2 ;;
    --build-arg) arguments+=(--build-arg "$2") ;;
    --platform) platform=$2 ;;
  esac
  shift 2
done
case "$platform" in
  *,*) [ "$push" ] || fail "more than one platform needs --push: a local store holds one" ;;
esac
[ -z "$file" ] || context=${context:-$(dirname "$file")}
file=${file:-$here/runner/Dockerfile}
context=${context:-$root}
[ -f "$file" ] || fail "no such file: $file"

# A docker client without a daemon is common inside virtual machines: ask the daemon.
choose_tool() {
  if [ "${IMAGE_TOOL:-}" ]; then echo "$IMAGE_TOOL"
  elif docker info >/dev/null 2>&1; then echo docker
  elif command -v buildah >/dev/null; then echo buildah
  else fail "neither a docker daemon nor buildah: apt-get install --yes buildah"
  fi
}

choose_base() {
  if [ -z "$base" ] && [ "$file" = "$here/runner/Dockerfile" ] && [ "$tool" = buildah ] &&
    ! timeout 300 buildah pull --quiet "$default_base" >/dev/null 2>&1; then
    echo "$default_base cannot be pulled: using the base of images/base.sh" >&2
    "$here/base.sh"
    base=registry.local/python-base:bookworm
  fi
  [ -z "$base" ] || arguments+=(--build-arg "BASE=$base")
}

describe_source() {
  local revision version seconds
  # The commit's time, not the clock's: the same source gives the same image, loaded only once.
  seconds=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)}
  revision=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/runner/pyproject.toml" | head -1)
  arguments+=(--build-arg "REVISION=$revision" --build-arg "VERSION=$version"
    --build-arg "CREATED=$(date -u -d "@$seconds" +%Y-%m-%dT%H:%M:%SZ)"
    --build-arg "PIP_INDEX_URL=${PIP_INDEX_URL:-}")
}

build_with_docker() {
  local output=(--load)
  [ -z "$push" ] || output=(--push)
  docker buildx build "${arguments[@]}" ${platform:+--platform "$platform"} "${output[@]}" \
    --tag "$tag" --file "$file" "$context"
}

build_with_buildah() {
  # The machine's network and certificate authorities: what works for its user works in a build.
  local options=(--layers --network host)
  [ ! -d /etc/ssl/certs ] || options+=(--volume /etc/ssl/certs:/etc/ssl/certs:ro)
  [ -z "${SOURCE_DATE_EPOCH:-}" ] || options+=(--timestamp "$SOURCE_DATE_EPOCH")
  if [ "$platform" ]; then
    buildah manifest rm "$tag" >/dev/null 2>&1 || true
    options+=(--platform "$platform" --manifest "$tag")
  else
    options+=(--tag "$tag")
  fi
  buildah build "${options[@]}" "${arguments[@]}" --file "$file" "$context"
  if [ "$push" ] && [ "$platform" ]; then
    buildah manifest push --all "$tag" "docker://$tag"
  elif [ "$push" ]; then
    buildah push "$tag" "docker://$tag"
  fi
}

# Run a command in the new image.
inside() {
  if [ "$tool" = docker ]; then
    docker run --rm --entrypoint "$1" "$tag" "${@:2}"
  else
    local container status=0
    container=$(buildah from --pull-never "$tag")
    buildah run "$container" -- "$@" || status=$?
    buildah rm "$container" >/dev/null
    return $status
  fi
}

report_size() {
  echo "$tag $("$tool" images --format '{{.Size}}' "$tag" | head -1); the biggest packages (MB):"
  # shellcheck disable=SC2016  # to be expanded inside
  inside sh -c 'for packages in /opt/dask-flows/lib/python3.*/site-packages; do
    [ -d "$packages" ] && cd "$packages" && du -sm -- * | sort -rn | head -8; done' || true
}

tool=$(choose_tool)
export STORAGE_DRIVER=${STORAGE_DRIVER:-overlay} BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
choose_base
[ "$file" != "$here/runner/Dockerfile" ] || describe_source
began=$SECONDS
"build_with_$tool"
echo "built with $tool in $((SECONDS - began)) s"
case "$platform" in *,*) ;; *) report_size ;; esac
