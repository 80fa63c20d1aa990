#include "web_assets.h"

namespace nibble::server {

std::span<const WebAsset> web_assets() { return {}; }

}  // namespace nibble::server
