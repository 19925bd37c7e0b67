# What `cmake --install` places: the libraries, their headers, find_package(dpflash), pkg-config's dpflash.pc and the notices.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/dpflash)
set(modules accounting noise attention ledger)
if(DPFLASH_CUDA_ENABLED)
  list(APPEND modules gpu)
endif()
foreach(module IN LISTS modules)
  set_target_properties(dpflash_${module} PROPERTIES EXPORT_NAME ${module} VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR})
  install(TARGETS dpflash_${module} EXPORT dpflash ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${module}/include/dpflash DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.hpp")
endforeach()
install(EXPORT dpflash NAMESPACE dpflash:: DESTINATION ${package_dir} FILE dpflashTargets.cmake)

get_target_property(library_type dpflash_accounting TYPE)
if(library_type STREQUAL "STATIC_LIBRARY")
  set(DPFLASH_STATIC ON)
else()
  set(DPFLASH_STATIC OFF)
endif()
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/dpflashConfig.cmake.in
  ${PROJECT_BINARY_DIR}/dpflashConfig.cmake INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/dpflashConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/dpflashConfig.cmake ${PROJECT_BINARY_DIR}/dpflashConfigVersion.cmake
  DESTINATION ${package_dir})

if(DPFLASH_CUDA_ENABLED)
  set(DPFLASH_PC_CUDA "-ldpflash_gpu")
  set(DPFLASH_PC_CUDA_PRIVATE "-L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -lcublas -lcurand -lrt -ldl")
endif()
# Paths from the .pc file's own folder, so that the installed tree can be moved.
file(RELATIVE_PATH DPFLASH_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(${PROJECT_SOURCE_DIR}/cmake/dpflash.pc.in ${PROJECT_BINARY_DIR}/dpflash.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/dpflash.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})
