# Sourced by the scripts that fetch from Debian: apt with a configuration of its own, so that the machine's is left alone.

# private_apt FOLDER SUITE TYPE: prepares apt in the folder for one suite's packages (TYPE deb) or sources (deb-src), and updates its lists.
# Sets the array apt_private: the options for every further call of apt-get and apt-cache. Returns 1 if the machine has no Debian mirror.
private_apt() {
  local folder=$1 suite=$2 type=$3 mirror
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | sort -u | grep -v security | sed -n 1p)
  [ -n "$mirror" ] || { echo "apt knows no Debian mirror (is this Debian 12?)" >&2; return 1; }
  mkdir -p "$folder/lists/partial"
  echo "$type [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$folder/sources.list"
  apt_private=(-o "Dir::Etc::SourceList=$folder/sources.list" -o "Dir::Etc::SourceParts=/dev/null"
    -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=" -o "APT::Sandbox::User=root")
  apt-get "${apt_private[@]}" -qq update >&2
}
