#pragma once
namespace nibble {
enum class Activation { kSilu, kGeluTanh, kGeluErf, kRelu };
}
