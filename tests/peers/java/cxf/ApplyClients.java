import generated.SynInfoService;
import generated.YlzSynInfoService;
import jakarta.xml.ws.BindingProvider;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import org.apache.cxf.endpoint.Client;
import org.apache.cxf.jaxws.endpoint.dynamic.JaxWsDynamicClientFactory;
import org.apache.cxf.message.Message;

/**
 * Calls SynApplyInfo (contract §3.1) as a HIS on CXF does: through the classes that wsdl2java made of the archive's WSDL,
 * for either port and in GBK, and through the client that CXF makes of a WSDL while it runs.
 *
 * The argument is the WSDL's address. Each line that is read, "CLIENT BASE64", is one call with that document, CLIENT one of
 * soap11, soap12, gbk and dynamic; each line that is printed is what came of it: "answer BASE64", what the operation
 * returned, or "thrown BASE64", an exception's message with those of its causes.
 */
public class ApplyClients {
    public static void main(String[] arguments) throws Exception {
        URL wsdl = URI.create(arguments[0]).toURL();
        YlzSynInfoService service = new YlzSynInfoService(wsdl);
        SynInfoService soap11 = service.getSynInfoServiceSoap();
        SynInfoService soap12 = service.getSynInfoServiceSoap12();
        SynInfoService gbk = service.getSynInfoServiceSoap();
        ((BindingProvider) gbk).getRequestContext().put(Message.ENCODING, "GBK");
        Client dynamic = JaxWsDynamicClientFactory.newInstance().createClient(wsdl);

        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] call = line.split(" ", 2);
            String document = new String(Base64.getDecoder().decode(call[1]), StandardCharsets.UTF_8);
            String word = "answer";
            String text;
            try {
                text = switch (call[0]) {
                    case "soap11" -> soap11.synApplyInfo(document);
                    case "soap12" -> soap12.synApplyInfo(document);
                    case "gbk" -> gbk.synApplyInfo(document);
                    case "dynamic" -> (String) dynamic.invoke("SynApplyInfo", document)[0];
                    default -> throw new IllegalArgumentException(call[0]);
                };
            } catch (Exception thrown) {
                word = "thrown";
                text = thrown.getMessage();
                for (Throwable cause = thrown.getCause(); cause != null; cause = cause.getCause()) {
                    text += ": " + cause.getMessage();
                }
            }
            System.out.println(word + " " + Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8)));
        }
    }
}
