# What `cmake --install` puts where of the program: itself, its manual page and completions, which it prints itself, and
# the licences. The library's part is in shared_library.cmake.
include(GNUInstallDirs)

install(TARGETS nibble RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/CHANGELOG.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)

if(CMAKE_CROSSCOMPILING)
  message(STATUS "no manual page and no completions: they are printed by the program, which does not run here")
else()
  set(printed ${CMAKE_BINARY_DIR}/printed)
  add_custom_command(
    OUTPUT ${printed}/nibble.1 ${printed}/nibble.bash ${printed}/_nibble ${printed}/nibble.fish
    COMMAND ${CMAKE_COMMAND} -E make_directory ${printed}
    COMMAND nibble manual > ${printed}/nibble.1
    COMMAND nibble completion bash > ${printed}/nibble.bash
    COMMAND nibble completion zsh > ${printed}/_nibble
    COMMAND nibble completion fish > ${printed}/nibble.fish
    DEPENDS nibble VERBATIM)
  add_custom_target(printed ALL DEPENDS ${printed}/nibble.1)
  set(data ${CMAKE_INSTALL_DATADIR})
  install(FILES ${printed}/nibble.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT program)
  install(FILES ${printed}/nibble.bash DESTINATION ${data}/bash-completion/completions RENAME nibble COMPONENT program)
  install(FILES ${printed}/_nibble DESTINATION ${data}/zsh/vendor-completions COMPONENT program)
  install(FILES ${printed}/nibble.fish DESTINATION ${data}/fish/vendor_completions.d COMPONENT program)
endif()
