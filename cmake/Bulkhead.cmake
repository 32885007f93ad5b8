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
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} dep_cmocka)
  target_link_options(${name} PRIVATE -pie)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT 900
    ENVIRONMENT "BULKHEAD_BIN=${CMAKE_BINARY_DIR}/bin")
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
