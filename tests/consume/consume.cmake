# Run by ctest: see CMakeLists.txt for the variables.
function(step what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE err
    OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${what} failed (${status})\n${out}\n${err}")
  endif()
  message(STATUS "${what}: done")
  set(out "${out}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${WORK})
step("install" ${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/first)
# The installed tree must work wherever it is moved to.
file(RENAME ${WORK}/first ${WORK}/prefix)

set(flags "")
if(SANITIZE)
  set(flags -fsanitize=${SANITIZE})
endif()
step("configure through find_package" ${CMAKE_COMMAND} -S ${PROJECT} -B ${WORK}/build -G ${GENERATOR}
  -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_FLAGS=${flags}
  -DCMAKE_BUILD_TYPE=Release)
step("build through find_package" ${CMAKE_COMMAND} --build ${WORK}/build)
step("run what find_package built" ${WORK}/build/consumer)

set(ENV{PKG_CONFIG_PATH} ${WORK}/prefix/${LIBDIR}/pkgconfig)
step("ask pkg-config" ${PKG_CONFIG} --static --cflags --libs dpflash)
separate_arguments(package UNIX_COMMAND "${out}")
step("build through pkg-config" ${COMPILER} -std=c++20 ${PROJECT}/consumer.cpp -o ${WORK}/consumer ${flags} ${package})
step("run what pkg-config built" ${CMAKE_COMMAND} -E env LD_LIBRARY_PATH=${WORK}/prefix/${LIBDIR} ${WORK}/consumer)
step("run the installed command" ${WORK}/prefix/bin/dpflash epsilon --delta 1e-5 --noise-multiplier 1)
foreach(notice LICENSE NOTICE)
  file(GLOB found ${WORK}/prefix/share/doc/*/${notice})
  if(NOT found)
    message(FATAL_ERROR "${notice} is not installed")
  endif()
endforeach()
