# libnibble.so: the C interface (nibble/nibble.h) and nothing else, for programs in C and other languages; C++ programs of
# this tree link the static libraries. What `cmake --install` puts where, so that others find it by CMake or pkg-config.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(nibble_shared SHARED ${CMAKE_SOURCE_DIR}/cmake/libnibble.map)
# As long as the first number of the version is 0, the second says which programs fit.
set(NIBBLE_SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set_target_properties(nibble_shared PROPERTIES OUTPUT_NAME nibble LINKER_LANGUAGE CXX VERSION ${PROJECT_VERSION}
                                               SOVERSION ${NIBBLE_SOVERSION} EXPORT_NAME nibble)
target_include_directories(nibble_shared INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>
                                                   $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
# Nothing in the library calls the interface, so its objects have to be asked for.
target_link_libraries(nibble_shared PRIVATE -Wl,--whole-archive nibble_api -Wl,--no-whole-archive)
target_link_options(nibble_shared PRIVATE LINKER:--version-script=${CMAKE_SOURCE_DIR}/cmake/libnibble.map)
set_target_properties(nibble_shared PROPERTIES LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/libnibble.map)
if(NOT NIBBLE_SANITIZE)
  target_link_options(nibble_shared PRIVATE LINKER:--no-undefined)
endif()

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/nibble)
install(TARGETS nibble_shared EXPORT nibble LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library
                                                    NAMELINK_COMPONENT development)
install(FILES ${CMAKE_SOURCE_DIR}/include/nibble/nibble.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/nibble
        COMPONENT development)
install(EXPORT nibble NAMESPACE nibble:: FILE nibble-config.cmake DESTINATION ${package_folder} COMPONENT development)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/nibble-config-version.cmake COMPATIBILITY SameMinorVersion)
# The installed files may be moved together: what they name is found from where they lie.
file(RELATIVE_PATH NIBBLE_PREFIX_FROM_PC /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${CMAKE_SOURCE_DIR}/cmake/nibble.pc.in ${CMAKE_BINARY_DIR}/nibble.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/nibble-config-version.cmake DESTINATION ${package_folder} COMPONENT development)
install(FILES ${CMAKE_BINARY_DIR}/nibble.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
