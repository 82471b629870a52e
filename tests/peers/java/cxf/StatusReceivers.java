import jakarta.jws.WebMethod;
import jakarta.jws.WebParam;
import jakarta.jws.WebService;
import jakarta.jws.soap.SOAPBinding;
import jakarta.xml.ws.BindingType;
import jakarta.xml.ws.Endpoint;
import jakarta.xml.ws.WebServiceException;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/**
 * Receivers of status notices (contract §3.2) as hospitals write them with CXF, each at a path of its own below
 * http://127.0.0.1:PORT/; PORT is the argument. "ready" is printed when all listen.
 *
 * Each notice is printed as "PATH BASE64", without text where none came, and answered with the next line that is read:
 * "answer BASE64", or "fault BASE64" for an exception with that message.
 */
public class StatusReceivers {
    private static final BlockingQueue<String> ANSWERS = new LinkedBlockingQueue<>();

    public static void main(String[] arguments) throws Exception {
        String base = "http://127.0.0.1:" + arguments[0] + "/";
        for (String path : new String[] {"named", "cdata", "gbk", "gbk-cdata", "refusing"}) {
            Endpoint.publish(base + path, new Named(path));
        }
        Endpoint.publish(base + "named12", new Named12());
        Endpoint.publish(base + "plain", new Plain());
        Endpoint.publish(base + "qualified", new Qualified());
        Endpoint.publish(base + "rpc", new Rpc());
        System.out.println("ready");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            ANSWERS.put(line);
        }
        // Whoever started this is gone; Jetty's threads would go on.
        Runtime.getRuntime().halt(0);
    }

    /** One notice at a time: the test says what becomes of it. */
    private static synchronized String taken(String path, String inputString) {
        String text = inputString == null ? "" : inputString;
        System.out.println(path + " " + Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8)));
        String line;
        try {
            line = ANSWERS.take();
        } catch (InterruptedException error) {
            throw new WebServiceException(error);
        }
        String[] answer = line.split(" ", 2);
        String said = new String(Base64.getDecoder().decode(answer[1]), StandardCharsets.UTF_8);
        if (answer[0].equals("fault")) {
            throw new WebServiceException(said);
        }
        return said;
    }

    /** By the contract's names. */
    @WebService(targetNamespace = "http://his.hospital.example/status")
    public static class Named {
        private final String path;

        Named(String path) {
            this.path = path;
        }

        @WebMethod(operationName = "SynStatusInfo")
        public String synStatusInfo(@WebParam(name = "inputString") String inputString) {
            return taken(path, inputString);
        }
    }

    @WebService(targetNamespace = "http://his.hospital.example/status")
    @BindingType(jakarta.xml.ws.soap.SOAPBinding.SOAP12HTTP_BINDING)
    public static class Named12 {
        @WebMethod(operationName = "SynStatusInfo", action = "urn:status")
        public String synStatusInfo(@WebParam(name = "inputString") String inputString) {
            return taken("named12", inputString);
        }
    }

    /** Names left to CXF: the parameter is arg0. (This has no package of which to make a namespace.) */
    @WebService(targetNamespace = "http://his.hospital.example/plain")
    public static class Plain {
        public String SynStatusInfo(String inputString) {
            return taken("plain", inputString);
        }
    }

    /** The parameter is of the namespace too, as in what .NET's services say of themselves. */
    @WebService(targetNamespace = "http://tempuri.org/")
    public static class Qualified {
        @WebMethod(operationName = "SynStatusInfo", action = "http://tempuri.org/SynStatusInfo")
        public String synStatusInfo(
            @WebParam(name = "inputString", targetNamespace = "http://tempuri.org/") String inputString) {
            return taken("qualified", inputString);
        }
    }

    @WebService(targetNamespace = "http://his.hospital.example/rpc")
    @SOAPBinding(style = SOAPBinding.Style.RPC)
    public static class Rpc {
        @WebMethod(operationName = "SynStatusInfo", action = "urn:rpc-status")
        public String synStatusInfo(@WebParam(name = "inputString") String inputString) {
            return taken("rpc", inputString);
        }
    }
}
