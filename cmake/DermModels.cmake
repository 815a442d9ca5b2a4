# A model is a folder: src/derm/models/NAME (or a folder named in DERM_EXTRA_MODELS) with NAME.h, NAME.cpp, its tests and a
# README.md. Nothing registers itself by a static initialiser (from a static library the linker drops it, silently): the
# folders are listed here, and the catalogue's source is written from that list.

# derm_model(name directory): builds one folder as derm::model_NAME.
function(derm_model name directory)
  file(GLOB sources CONFIGURE_DEPENDS ${directory}/*.cpp)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  add_library(derm_model_${name} STATIC ${sources})
  add_library(derm::model_${name} ALIAS derm_model_${name})
  set_target_properties(derm_model_${name} PROPERTIES EXPORT_NAME model_${name})
  target_link_libraries(derm_model_${name} PUBLIC derm::recipe derm::nn derm::losses PRIVATE $<BUILD_INTERFACE:derm_flags>)
  derm_use_torch(derm_model_${name})
  set_property(GLOBAL APPEND PROPERTY DERM_MODULES derm_model_${name})
  if(DERM_TESTS AND tests)
    derm_test(model_${name}_test TORCH SOURCES ${tests} LINK derm::model_${name})
  endif()
endfunction()

# derm_catalogue(target folder...): a library whose derm::models::catalogue() lists the recipes of those folders.
function(derm_catalogue target)
  set(declarations "")
  set(calls "")
  set(libraries "")
  foreach(directory IN LISTS ARGN)
    get_filename_component(name ${directory} NAME)
    string(APPEND declarations "void register_${name}(recipe::Catalogue&);\n")
    string(APPEND calls "    register_${name}(c);\n")
    list(APPEND libraries derm::model_${name})
  endforeach()
  set(generated ${PROJECT_BINARY_DIR}/${target}.cpp)
  file(CONFIGURE OUTPUT ${generated} @ONLY CONTENT
"// Written by cmake/DermModels.cmake from the folders of the models.
#include \"derm/models/catalogue.h\"
namespace derm::models {
@declarations@
const recipe::Catalogue& catalogue() {
  static const recipe::Catalogue instance = [] {
    recipe::Catalogue c;
@calls@    return c;
  }();
  return instance;
}
}  // namespace derm::models
")
  add_library(${target} STATIC ${generated})
  target_link_libraries(${target} PUBLIC derm::recipe PRIVATE ${libraries} $<BUILD_INTERFACE:derm_flags>)
  derm_use_torch(${target})
endfunction()
