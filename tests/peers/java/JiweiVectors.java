import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import javax.crypto.Cipher;
import javax.crypto.spec.SecretKeySpec;

/**
 * Writes tests/fixtures/contract/jiwei/vectors.json: messages of 基卫 (contract §1), enciphered by Java's own Cipher as a
 * vendor's program does it. Java 17 takes a source file's encoding from the locale, so:
 *
 *   java -Dfile.encoding=UTF-8 tests/peers/java/JiweiVectors.java > tests/fixtures/contract/jiwei/vectors.json
 */
public class JiweiVectors {
    private static final String KEY = "0123456789abcdef";

    public static void main(String[] arguments) throws Exception {
        List<String> vectors = new ArrayList<>();
        vectors.add(vector("request", KEY,
            "{\"medicarecode\":\"C0001\",\"yyid00\":\"6930\",\"businesstype\":\"1\",\"type\":\"2\"}"));
        vectors.add(vector("answer", KEY, "{\"content\":[" + form("00000001", "胸部CT平扫") + "],\"success\":\"true\"}"));
        vectors.add(vector("answer without forms", KEY, "{\"content\":[],\"success\":\"true\"}"));
        vectors.add(vector("answer with two forms, characters of four bytes, escapes and line breaks", KEY,
            "{\n  \"content\": [\n    " + form("00000002", "𠮷𠀀 \\\"头颅\\\"\\nMR") + ",\n    " + form("00000003", "B超")
                + "\n  ],\n  \"success\": true\n}\n"));
        vectors.add(vector("failure", KEY,
            "{\"errorCode\":\"98\",\"errorMsg\":\"缺少必传参数：medicarecode！\",\"success\":\"false\"}"));
        vectors.add(vector("request under a key of punctuation", "!@#$%^&*()_+-=[ ",
            "{\"type\":1,\"businesstype\":3,\"yyid00\":6930,\"medicarecode\":12345678}"));
        for (int bytes : new int[] {2, 15, 16, 17, 31, 32}) {
            vectors.add(vector("object of " + bytes + " bytes", KEY, "{" + " ".repeat(bytes - 2) + "}"));
        }
        vectors.add(vector("request whose Base64 begins and ends with a plus", KEY, betweenPluses()));
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
        out.print("[\n" + String.join(",\n", vectors) + "\n]\n");
        out.flush();
    }

    private static String form(String number, String project) {
        return "{\"applycode\":\"" + number + "\",\"fkey\":\"brid00\",\"medicarecode\":\"C0001\",\"cliniccode\":\"O000017\","
            + "\"patname\":\"肖萍\",\"gender\":\"女\",\"birthday\":\"1980-01-01\",\"patage\":\"46岁\","
            + "\"idcard\":\"350100198001010029\",\"applydocname\":\"王医生\",\"applydepartment\":\"全科\","
            + "\"clincdiagnose\":\"待查\",\"checkprojectcode\":\"001\",\"checkproject\":\"" + project + "\","
            + "\"applydate\":\"2026-07-04\",\"regstate\":\"0\",\"yyid00\":\"6930\",\"businesstype\":\"1\",\"type\":\"2\"}";
    }

    /** A request of whole groups of three bytes, so that no '=' stands behind the last '+'. */
    private static String betweenPluses() throws Exception {
        for (int first = 0; ; first++) {
            for (int last = 0; last < 100; last++) {
                // One number is in the first block and one in the last, and only they decide about the ends.
                String clear = String.format("{\"first\":1%03d,\"medicarecode\":\"C0001\",\"yyid00\":\"6930\","
                    + "\"businesstype\":\"1\",\"type\":\"2\",\"last\":1%02d}", first, last);
                String base64 = Base64.getEncoder().encodeToString(encipher(KEY, clear));
                if (base64.startsWith("+") && base64.endsWith("+")) {
                    return clear;
                }
                if (!base64.startsWith("+")) {
                    break;
                }
            }
        }
    }

    private static byte[] encipher(String key, String clear) throws Exception {
        Cipher cipher = Cipher.getInstance("AES/ECB/PKCS5Padding");
        cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(key.getBytes(StandardCharsets.UTF_8), "AES"));
        return cipher.doFinal(clear.getBytes(StandardCharsets.UTF_8));
    }

    private static String vector(String name, String key, String clear) throws Exception {
        byte[] sealed = encipher(key, clear);
        return "  {\n    \"name\": " + quoted(name) + ",\n    \"key\": " + quoted(key) + ",\n    \"clear\": " + quoted(clear)
            + ",\n    \"base64\": " + quoted(Base64.getEncoder().encodeToString(sealed))
            + ",\n    \"mime\": " + quoted(Base64.getMimeEncoder().encodeToString(sealed)) + "\n  }";
    }

    private static String quoted(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\r", "\\r").replace("\n", "\\n") + '"';
    }
}
