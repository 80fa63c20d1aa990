// Where a model's packs lie, what makes one current, and making them.
//
// A pack lies beside its model: in MODEL/.nibble-pack/ of a folder, in FILE.nibble-pack/ of a file; or in a folder that
// the user names. It is named for what it holds: "stored.pack" is the model as it is stored, "int4-g32-sym.pack" the
// model quantized while loading.
//
// Its key is a SHA-256 over what packing depends on: of each file that holds tensors inode, size, time of modification
// and time of change; names, types, shapes and places of all tensors; the configuration; the name of the pack. So
// content that changed is noticed without reading it: programs can set a file's time of modification, but not its time
// of change, and a file put in its place has another inode. A copied model packs anew.
#pragma once

#include <filesystem>
#include <string>

#include "model/model_files.h"
#include "nibble/model.h"
#include "run/pack_file.h"
#include "run/pack_linear.h"

namespace nibble {

/// The name of the pack that these options run: "stored", "int4-g32-sym", "int4-g32-sym-mse-head".
Result<std::string> pack_name(const LoadOptions& options);

/// The folder of a model's packs: `folder`, or when that is empty the one beside the model.
std::filesystem::path pack_folder(const ModelFiles& files, const std::string& folder);

/// What a model's packs begin with in their folder: nothing beside the model, its name and a hash of its place in a
/// folder that serves many.
std::string pack_prefix(const ModelFiles& files, const std::string& folder);

/// Waits out the moment in which a second change of a file would bear the same time as the last.
PackKey pack_key(const ModelFiles& files, const std::string& name);

/// The model's verified pack, made when there is none that is current. Null, with a note, when it cannot be kept (a
/// folder that cannot be written, a full disk) and `required` is not set. Errors: those of the model; cancelled.
Result<PackFile::Ptr> ready_pack(const ModelFiles& files, const LoadOptions& options, const MatrixHook& hook,
                                 bool required, ThreadPool& pool);

}  // namespace nibble
