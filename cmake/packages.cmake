# Debian packages:  cpack -G DEB --config build/CPackConfig.cmake  makes nibble (the program), libnibble (the shared
# library) and libnibble-dev. What they depend on is read off the programs by dpkg-shlibdeps.
set(CPACK_PACKAGE_NAME nibble)
set(CPACK_PACKAGE_VENDOR Nibble)
set(CPACK_PACKAGE_CONTACT "The Nibble developers <nibble@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Quantizes large language models to few bits and runs them on the CPU")
set(CPACK_PACKAGE_DESCRIPTION
    "Reads and writes the checkpoint formats in use (GGUF, GPTQ, AWQ, bitsandbytes, compressed-tensors, FP8),
quantizes with calibrated methods in bounded memory, measures the result, runs it on a CPU and serves it over
OpenAI's HTTP interface.")
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL program library development)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)

set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME nibble)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION science)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libnibble${NIBBLE_SOVERSION})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/cmake/debian/triggers)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libnibble-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_COMPONENT_DEVELOPMENT_DEPENDS library)
set(CPACK_COMPONENT_PROGRAM_DESCRIPTION "${CPACK_PACKAGE_DESCRIPTION}")
set(CPACK_COMPONENT_LIBRARY_DESCRIPTION "The shared library with Nibble's C interface.")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "Header, CMake package and pkg-config file of Nibble's C interface.")
include(CPack)
