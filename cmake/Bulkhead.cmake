# SPDX-License-Identifier: Apache-2.0
# bh_program(name SOURCES ... LIBS ...): one of Bulkhead's executables, hardened and installed.
#   Programs a user starts go to bin/, the others to libexec/bulkhead/.
include(GNUInstallDirs)
function(bh_program name)
  cmake_parse_arguments(ARG "USER" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS})
  if(BH_STATIC_PIE)
    target_link_options(${name} PRIVATE -static-pie)
  else()
    target_link_options(${name} PRIVATE -pie)
  endif()
  if(ARG_USER)
    install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  else()
    install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/bulkhead)
  endif()
endfunction()

# bh_unit_test(name SOURCES ... LIBS ...): a cmocka test, label "unit".
function(bh_unit_test name)
  cmake_parse_arguments(ARG "" "LABEL" "SOURCES;LIBS" ${ARGN})
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} bh_test dep_cmocka)
  target_link_options(${name} PRIVATE -pie)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT 900 SKIP_RETURN_CODE 77
    ENVIRONMENT "BULKHEAD_BIN=${CMAKE_BINARY_DIR}/bin")
endfunction()

# bh_script_test(name LABEL SCRIPT [ARGUMENT ...]): a script of this folder that tries the programs of
# this build ($BULKHEAD_BIN, $BULKHEAD_BUILD).
function(bh_script_test name label script)
  add_test(NAME ${name} COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/${script}" ${ARGN})
  set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT 900 SKIP_RETURN_CODE 77
    ENVIRONMENT "BULKHEAD_BIN=${CMAKE_BINARY_DIR}/bin;BULKHEAD_BUILD=${CMAKE_BINARY_DIR}")
endfunction()

# bh_needs_kvm([ONCE] test ...): tests that run guest code, were it only two instructions. `./dev test`
# runs them like all others where KVM works, else in the emulated host: slower, as root, with one
# processor, without a network, with files that forget what is written. So their time limit is for that.
# ONCE: there the release build alone, because a whole VM of sanitized processes is too slow for the
# broker's own time limits (a second to leave, 900 ms for a heartbeat); its parts have their own tests.
function(bh_needs_kvm)
  cmake_parse_arguments(ARG "ONCE" "" "" ${ARGN})
  foreach(name ${ARG_UNPARSED_ARGUMENTS})
    set_tests_properties(${name} PROPERTIES TIMEOUT 2400)
    set_property(TEST ${name} APPEND PROPERTY LABELS kvm)
    if(ARG_ONCE AND BH_SANITIZE)
      set_property(TEST ${name} APPEND PROPERTY LABELS not-emulated)
    endif()
  endforeach()
endfunction()

# bh_fuzz_target(name SOURCES ... LIBS ...): LLVMFuzzerTestOneInput in SOURCES. With BH_FUZZ a
# libFuzzer binary; otherwise a program that replays its corpus (tests/fuzz/corpus/<name>), label
# "fuzz-corpus".
function(bh_fuzz_target name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  set(corpus "${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name}")
  if(BH_FUZZ)
    add_executable(fuzz_${name} ${ARG_SOURCES})
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer,address,undefined)
  else()
    add_executable(fuzz_${name} ${ARG_SOURCES} "${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c")
    target_link_options(fuzz_${name} PRIVATE -pie)
    add_test(NAME fuzz_${name} COMMAND fuzz_${name} "${corpus}")
    set_tests_properties(fuzz_${name} PROPERTIES LABELS fuzz-corpus TIMEOUT 900)
  endif()
  target_link_libraries(fuzz_${name} PRIVATE ${ARG_LIBS})
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/fuzz")
endfunction()
