# SPDX-License-Identifier: Apache-2.0
# install.cmake - what `cmake --install` does with the units: see CMakeLists.txt.
cmake_path(ABSOLUTE_PATH BH_LIBEXECDIR BASE_DIRECTORY "${CMAKE_INSTALL_PREFIX}")
set(BH_LIBEXEC "${BH_LIBEXECDIR}/bulkhead")
cmake_path(ABSOLUTE_PATH BH_BIN BASE_DIRECTORY "${CMAKE_INSTALL_PREFIX}")

foreach(manager system user)
  if(manager STREQUAL "system")
    set(BH_WHOSE "this host")
    set(BH_FOLDER "/etc/bulkhead/fleet.d")
    set(BH_TARGET multi-user.target)
    # dac_override: the vsock sockets of tenants, which a fleet's VM may be waited for at.
    string(JOIN "\n" BH_FLEET "CapabilityBoundingSet=CAP_DAC_OVERRIDE" "PrivateDevices=yes" "PrivateNetwork=yes"
      "ProtectSystem=strict" "StateDirectory=bulkhead-host" "StateDirectoryMode=0700" "ProtectHome=read-only" "ProtectKernelTunables=yes" "ProtectKernelModules=yes"
      "ProtectControlGroups=yes" "RestrictNamespaces=yes" "RestrictRealtime=yes" "SystemCallFilter=@system-service")
    # Launchers open these, in the service's group, and a VM's broker does at a repair, in the VM's.
    string(JOIN "\n" BH_DEVICES "DevicePolicy=closed" "DeviceAllow=/dev/kvm rw" "DeviceAllow=/dev/net/tun rw"
      "DeviceAllow=/dev/vhost-net rw" "DeviceAllow=char-macvtap rw" "DeviceAllow=block-* rw")
  else()
    set(BH_WHOSE "this user")
    set(BH_DEVICES "")
    set(BH_FOLDER "%E/bulkhead-host/fleet.d")
    set(BH_TARGET default.target)
    set(BH_FLEET "")
  endif()
  set(made "${BH_MADE}/${manager}")
  configure_file("${BH_FROM}/${manager}/bulkhead-hostd.service.in" "${made}/bulkhead-hostd.service" @ONLY)
  configure_file("${BH_FROM}/bulkhead-vms.service.in" "${made}/bulkhead-vms.service" @ONLY)
  configure_file("${BH_FROM}/bulkhead-fleet.service.in" "${made}/bulkhead-fleet.service" @ONLY)
  file(INSTALL "${made}/bulkhead-hostd.service" "${made}/bulkhead-vms.service" "${made}/bulkhead-fleet.service"
    "${BH_FROM}/${manager}/bulkhead-hostd.socket" DESTINATION "${CMAKE_INSTALL_PREFIX}/lib/systemd/${manager}")
endforeach()
