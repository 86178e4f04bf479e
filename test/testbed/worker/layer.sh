#!/usr/bin/env bash
# Makes the layer that turns a machine's root into a worker's, unless it is in the cache: kubelet, kube-proxy and the test
# images from Debian's source of Kubernetes, and containerd, runc and the CNI plugins with what they need from Debian.
#
# usage: layer.sh CACHE_FOLDER BASE_ROOT ETCD
# ETCD is the program that the etcd image contains.
# Prints the layer's folder, to be mounted on top of BASE_ROOT. Nothing may write to it.
set -euo pipefail

cache=$1 base=$2 etcd=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
testbed=$here/..
label=v1.20.2
packages=(containerd runc containernetworking-plugins iptables conntrack socat ethtool busybox-static netcat-openbsd)
# The programs that upstream's agnhost image contains besides agnhost, as far as tests need them.
tools=(/usr/bin/curl /bin/nc.openbsd)

# The layer fits one base only: its package database is the base's, continued.
key=$(cat "$here/layer.sh" "$here/image.sh" "$testbed"/{base,kubernetes-source,go,apt,etcd}.sh | sha256sum | cut -c1-16)
out=$cache/worker-$key
[ -e "$out/.complete" ] && { echo "$out/layer"; exit 0; }

say() { echo "worker: $*" >&2; }
mkdir -p "$cache"
exec 9>"$cache/worker.lock"
flock 9
[ -e "$out/.complete" ] && { echo "$out/layer"; exit 0; }

goroot=$(bash "$testbed/go.sh" "$cache")
gopath=$(bash "$testbed/kubernetes-source.sh" "$cache")
work=$(mktemp -d "$cache/worker-build.XXXXXX")
trap 'umount --lazy "$work/root" 2>/dev/null || true; rm -rf "$work"' EXIT
layer=$work/out/layer
mkdir -p "$layer" "$work/overlay" "$work/root" "$work/programs"

say "fetching ${packages[*]}"
mkdir -p "$work/archives/partial"
. "$testbed/apt.sh"
private_apt "$work/apt" bookworm deb
# apt fetches exactly what the base lacks.
apt-get "${apt_private[@]}" -o "Dir::State::status=$base/var/lib/dpkg/status" -o "Dir::Cache::archives=$work/archives" \
  -qq -y --no-install-recommends --download-only install "${packages[@]}" >&2
chmod 755 "$layer"
mount -t overlay -o "lowerdir=$base,upperdir=$layer,workdir=$work/overlay" overlay "$work/root"
mkdir "$work/root/debs"
cp "$work"/archives/*.deb "$work/root/debs"
DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$work/root" sh -ec 'dpkg --install /debs/*.deb' >"$work/dpkg.log" 2>&1 ||
  { tail -n 30 "$work/dpkg.log" >&2; exit 1; }
rm -r "$work/root/debs"
# The tests start containerd themselves, as lab 09 does.
systemctl --root="$work/root" --quiet disable containerd.service
# Images get the tools' files from a copy, with the libraries that the tools are linked to.
tool_files=$(chroot "$work/root" sh -ec 'for tool; do echo "$tool"; ldd "$tool" | grep -o "/[^ ]*"; done' sh "${tools[@]}" | sort -u)
for file in $tool_files; do install -D "$work/root$file" "$work/tools$file"; done
umount "$work/root"

export GOROOT=$goroot GOPATH=$gopath GO111MODULE=off CGO_ENABLED=0 GOFLAGS= GOCACHE=$cache/gocache
version="-s -w"
for package in k8s.io/client-go/pkg/version k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version \
  k8s.io/component-base/version k8s.io/kubernetes/vendor/k8s.io/component-base/version; do
  version+=" -X $package.gitVersion=$label -X $package.gitMajor=1 -X $package.gitMinor=20"
  version+=" -X $package.gitTreeState=archive -X $package.buildDate=2021-01-13T00:00:00Z"
done
cd "$GOPATH/src/k8s.io/kubernetes"
for package in cmd/kubelet cmd/kube-proxy test/images/agnhost test/images/nonewprivs vendor/k8s.io/sample-apiserver; do
  say "building $(basename "$package")"
  "$goroot/bin/go" build -trimpath -ldflags "$version" -o "$work/programs/$(basename "$package")" "./$package"
done
mkdir -p "$layer/usr/local/bin" "$layer/usr/local/share/images"
install -m 755 -t "$layer/usr/local/bin" "$work"/programs/{kubelet,kube-proxy}

say "making the images"
images=$layer/usr/local/share/images
busybox=$layer/usr/bin/busybox=/bin/busybox
shell='"Env": ["PATH=/bin:/usr/bin:/usr/local/bin"]'
agnhost=test/images/agnhost
image() { bash "$here/image.sh" "$images" "$@"; }
# The names are upstream's, so that upstream's tests find the images. The pause image is small: each pod has a copy of its own.
image k8s.gcr.io/pause:3.2 '{"Entrypoint": ["/bin/sh", "-c", "trap \"exit 0\" TERM INT; while :; do sleep 3600 & wait $!; done"]}' "$busybox"
image docker.io/library/busybox:1.29 "{$shell, \"Cmd\": [\"sh\"]}" "$busybox"
agnhost_files=("$busybox" "$work/programs/agnhost=/agnhost" "$work/programs/agnhost=/agnhost-2")
for file in $tool_files; do agnhost_files+=("$work/tools$file=${file%.openbsd}"); done
image k8s.gcr.io/e2e-test-images/agnhost:2.21 "{$shell, \"Entrypoint\": [\"/agnhost\"], \"Cmd\": [\"pause\"]}" "${agnhost_files[@]}" \
  "$agnhost/porter/localhost.crt=/localhost.crt" "$agnhost/porter/localhost.key=/localhost.key"
nautilus=test/images/nautilus/html
image gcr.io/kubernetes-e2e-test-images/nautilus:1.0 "{$shell, \"Entrypoint\": [\"/agnhost\"], \"Cmd\": [\"test-webserver\"]}" \
  "$busybox" "$work/programs/agnhost=/agnhost" "$nautilus/nautilus.jpg=/nautilus.jpg" "$nautilus/data.json=/data.json"
# The program of this image belongs to root and has the setuid bit. The kubelet can forbid a container to heed that bit.
chmod 4755 "$work/programs/nonewprivs"
image gcr.io/kubernetes-e2e-test-images/nonewprivs:1.0 "{$shell, \"Cmd\": [\"nnp\"]}" "$work/programs/nonewprivs=/usr/local/bin/nnp"
# The tests of controllers and of kubectl only need a server with a start page.
pages=/usr/local/apache2/htdocs
echo '<html><body><h1>It works!</h1></body></html>' >"$work/index.html"
serve="trap \\\"exit 0\\\" TERM INT; httpd -f -h $pages & wait \$!"
for server in httpd:2.4.38-alpine httpd:2.4.39-alpine nginx:1.14-alpine; do
  image "docker.io/library/$server" "{$shell, \"Cmd\": [\"sh\", \"-c\", \"$serve\"]}" "$busybox" "$work/index.html=$pages/index.html"
done
image gcr.io/kubernetes-e2e-test-images/sample-apiserver:1.17 '{"Entrypoint": ["/sample-apiserver"]}' \
  "$work/programs/sample-apiserver=/sample-apiserver"
# etcd is linked to the C library alone.
libraries=()
for library in $(ldd "$etcd" | grep -o '/[^ ]*'); do libraries+=("$base$library=$library"); done
image k8s.gcr.io/etcd:3.4.13-0 "{$shell, \"Cmd\": [\"/usr/local/bin/etcd\"]}" "$etcd=/usr/local/bin/etcd" "${libraries[@]}"

touch "$work/out/.complete"
chmod 755 "$work/out"
rm -rf "$out"
mv "$work/out" "$out"
echo "$out/layer"
