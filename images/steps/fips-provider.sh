#!/bin/sh
# A step of the FIPS image's build: has OpenSSL load its FIPS provider, and nothing but that, in every process.
set -eu

module=$(find /usr/lib -name fips.so)
# Runs the provider's self-tests, and notes the module's checksum, which is compared each time it is loaded.
openssl fipsinstall -quiet -module "$module" -out /etc/ssl/fipsmodule.cnf
chmod 644 /etc/ssl/fipsmodule.cnf
# `base` reads and writes keys and certificates; it does no cryptography. Without diagnostics, faults here are ignored.
cat >/etc/ssl/openssl.cnf <<'END'
config_diagnostics = 1
openssl_conf = init
.include /etc/ssl/fipsmodule.cnf

[init]
providers = providers
alg_section = algorithms

[providers]
fips = fips_sect
base = base

[base]
activate = 1

[algorithms]
default_properties = fips=yes
END
openssl list -providers | grep -q 'name: .*FIPS'
