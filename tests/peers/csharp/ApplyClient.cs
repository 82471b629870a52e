// Sends an apply form by the client that .NET's wsdl tool has made of the archive's WSDL, and prints the answer.
//
//   ApplyClient URL FILE   FILE: the form's XML, in UTF-8
using System;
using System.IO;
using System.Text;

public static class ApplyClient
{
    public static int Main(string[] arguments)
    {
        var service = new Yingku.YlzSynInfoService { Url = arguments[0], Timeout = 30000 };
        Console.OutputEncoding = new UTF8Encoding(false);
        Console.WriteLine(service.SynApplyInfo(File.ReadAllText(arguments[1], Encoding.UTF8)));
        return 0;
    }
}
