// Runs HiveMQ's community edition for scripts/broker: `java -cp 'FOLDER/*' hivemq.java DIR`, with conf/config.xml in DIR.
//
// Without an extension that admits clients, HiveMQ refuses all of them. The one here admits everyone to every topic. It supports
// no Authentication Method, so it refuses clients that name one, as the standard demands.

import com.hivemq.embedded.EmbeddedExtension;
import com.hivemq.embedded.EmbeddedHiveMQ;
import com.hivemq.extension.sdk.api.ExtensionMain;
import com.hivemq.extension.sdk.api.auth.SimpleAuthenticator;
import com.hivemq.extension.sdk.api.auth.parameter.SimpleAuthInput;
import com.hivemq.extension.sdk.api.auth.parameter.SimpleAuthOutput;
import com.hivemq.extension.sdk.api.auth.parameter.TopicPermission;
import com.hivemq.extension.sdk.api.packets.connect.ConnackReasonCode;
import com.hivemq.extension.sdk.api.parameter.ExtensionStartInput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStartOutput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStopInput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStopOutput;
import com.hivemq.extension.sdk.api.services.Services;
import com.hivemq.extension.sdk.api.services.builder.Builders;
import java.nio.file.Path;

class HiveMq {
    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[0]);
        EmbeddedExtension everyone = EmbeddedExtension.builder()
                .withId("everyone").withName("everyone").withVersion("1").withAuthor("ungraceful")
                .withExtensionMain(new Everyone())
                .build();
        EmbeddedHiveMQ broker = EmbeddedHiveMQ.builder()
                .withConfigurationFolder(folder.resolve("conf"))
                .withDataFolder(folder.resolve("data"))
                .withExtensionsFolder(folder.resolve("extensions"))
                .withEmbeddedExtension(everyone)
                .build();
        broker.start().get();
        Thread.currentThread().join();
    }
}

class Everyone implements ExtensionMain {
    @Override
    public void extensionStart(ExtensionStartInput input, ExtensionStartOutput output) {
        Services.securityRegistry().setAuthenticatorProvider(connecting -> new Admits());
    }

    @Override
    public void extensionStop(ExtensionStopInput input, ExtensionStopOutput output) {}
}

class Admits implements SimpleAuthenticator {
    @Override
    public void onConnect(SimpleAuthInput input, SimpleAuthOutput output) {
        if (input.getConnectPacket().getAuthenticationMethod().isPresent()) {
            output.failAuthentication(ConnackReasonCode.BAD_AUTHENTICATION_METHOD, "no Authentication Method is supported");
            return;
        }
        TopicPermission everything = Builders.topicPermission().topicFilter("#").type(TopicPermission.PermissionType.ALLOW).build();
        output.getDefaultPermissions().add(everything);
        output.authenticateSuccessfully();
    }
}
