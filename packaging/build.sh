#!/bin/sh
# Builds bin/palisade_VERSION_ARCH.deb and .rpm: packaging/build.sh [VERSION] [FOLDER]
#
# GOARCH chooses another machine than this one. What the package holds is made here: static programs, manual
# pages and completions out of agentctl's own tables.
set -eu
cd "$(dirname "$0")/.."
VERSION=${1:-$(git describe --tags --match 'v*' 2>/dev/null | sed 's/^v//' || true)}
VERSION=${VERSION:-0.0.0}
out=${2:-bin}
GO=${GO:-go}
GOARCH=${GOARCH:-$($GO env GOARCH)}
STAGE=$(mktemp -d)
trap 'rm -rf "$STAGE"' EXIT
export VERSION GOARCH STAGE
mkdir -p "$out"

CGO_ENABLED=0 $GO build -trimpath -ldflags "-s -w" -o "$STAGE/" ./cmd/agentd ./cmd/agentctl
GOARCH=$($GO env GOHOSTARCH) CGO_ENABLED=0 $GO build -o "$STAGE/here" ./cmd/agentctl
for shell in bash zsh fish; do
    "$STAGE/here" completion $shell >"$STAGE/agentctl.$shell"
done
"$STAGE/here" man "$STAGE/man"
cp packaging/agentd.8 "$STAGE/man/"
gzip -9n "$STAGE"/man/*
GOARCH=$($GO env GOHOSTARCH) $GO build -modfile=tools/go.mod -o "$STAGE/nfpm" github.com/goreleaser/nfpm/v2/cmd/nfpm
for kind in deb rpm; do
    "$STAGE/nfpm" package --config packaging/nfpm.yaml --packager $kind --target "$out/"
done
