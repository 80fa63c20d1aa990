// A folder with a small model "m" and a text "text" to calibrate it on.
#pragma once

#include "io/container_test_support.h"
#include "small_models.h"

namespace nibble {

class ChatModelTest : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    write_chat_model(root_ / "m");
    put("text", random_text(3000));
  }
};

}  // namespace nibble
