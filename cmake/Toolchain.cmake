# SPDX-License-Identifier: Apache-2.0
# Compiler and linker flags of every target: warnings, hardening, sanitizers.
add_compile_options(
  -Werror=implicit -Werror=int-conversion -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wvla -Wswitch-enum
  -Wimplicit-fallthrough -Wmissing-prototypes -Wstrict-prototypes -Wcast-qual -Wpointer-arith
  -Wundef -Wformat=2 -fno-common -fno-strict-aliasing -fvisibility=hidden)
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
  add_compile_options(-Wconditional-uninitialized)
endif()
if(BH_WERROR)
  add_compile_options(-Werror)
endif()

add_compile_options(-fstack-protector-strong -fcf-protection=full -ffunction-sections -fdata-sections)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-fstack-clash-protection)
endif()
add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code -Wl,--gc-sections)

# The programs are static-PIE: no loader, no library search, one mapping less to trust. The
# sanitizers' and the coverage runtime need the dynamic loader.
set(BH_STATIC_PIE ON)
if(BH_SANITIZE OR BH_FUZZ OR BH_COVERAGE)
  set(BH_STATIC_PIE OFF)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
add_compile_options(-fPIE)

if(BH_SANITIZE)
  add_compile_options(-fsanitize=${BH_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=${BH_SANITIZE})
  add_compile_definitions(BH_SANITIZED=1)
  if(BH_SANITIZE MATCHES "thread" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan) # vq.c's fences: TSan doesn't model them, nor needs to
  endif()
elseif(CMAKE_BUILD_TYPE MATCHES "Release|RelWithDebInfo")
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -ftrivial-auto-var-init=zero)
endif()
if(BH_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -g)
  add_link_options(-fsanitize=address,undefined) # programs that run while it is built
  add_compile_definitions(BH_SANITIZED=1)
endif()
if(BH_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
if(BH_ANALYZE)
  add_compile_options(-fanalyzer)
endif()
if(BH_FAILPOINTS)
  add_compile_definitions(BH_FAILPOINTS=1)
endif()
add_compile_definitions(_GNU_SOURCE)

# What a process says in Hello; packagers may put their release here.
set(BH_BUILD_ID "${PROJECT_VERSION}" CACHE STRING "build id that each process reports")
add_compile_definitions(BH_BUILD_ID="${BH_BUILD_ID}")
