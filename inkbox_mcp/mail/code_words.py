"""Words that stand beside a code, and words that stand beside other numbers, in the languages of mail."""

import re

# In Germanic and Slavic languages, these can end a longer word, or have endings.
CODE = re.compile(
    r"(?<!\bde)(?<!\ben)code[sn]?\b|(?<!š)k[oó]d|kood|kóð|"
    r"\b(?:otp|tan|pin|mtan|mobiletan|engångslösenord|engångskod|2fa|mfa|totp|passcode|einmal(?:pass|kenn)wort|"
    r"einmal-?pin|einmal-?passwort)\b|"
    r"\bone[- ]time (?:pass(?:word|code)?|pin|token)|\btemporary (?:pass(?:word|code)|pin)|\bverification (?:number|"
    r"token)|\bsecurity (?:number|token)|"
    r"\bc[óo]digos?\b|\bclave\b|\bcontrase[ñn]a (?:temporal|de un solo uso)|\bcodice\b|\bcodici\b|\bsenha\b|"
    r"\bmot de passe (?:à usage unique|temporaire|provisoire)|\beenmalig|\bparola\b|\bşifre\w*|"
    r"\bcodul\b|\bcod (?:de (?:verif|secur|aut|acces|conf)|unic|otp)|\bcodi\b|\bmsimbo\b|\bmã\b|"
    r"κωδικ\w*|(?<!\w)ה?קוד(?!\w)|סיסמ[הא]|\bرمز\b|\bالرمز\b|كود|رقم التحقق|\bکد\b|کوڈ|"
    r"कोड|ओटीपी|पिन(?![ ]?कोड)|पासवर्ड|কোড|ওটিপি|કોડ|ਕੋਡ|குறியீடு|கோட்|కోడ్|ಕೋಡ್|കോഡ്|ඔටීපී|කේතය|รหัส|ລະຫັດ|កូដ|ကုဒ်|"
    r"კოდი|"
    r"կոդ|ኮድ|\bкод\w{0,3}\b|\bпароль\b|"
    r"验证码|驗證碼|会议密码|密码(?=[:：])|校验码|动态码|动态密码|口令|安全码|登录码|確認碼|检验码|认证码|"
    r"認証(?:コード|番号|キー)|確認(?:コード|番号)|ワンタイム|パスコード|暗証番号|セキュリティ(?:コード|番号)|"
    r"ログインコード|検証コード|コード|인증\s?번호|인증\s?코드|확인\s?코드|보안\s?코드",
    re.IGNORECASE,
)
"""What names a code."""

PURPOSE = re.compile(
    r"verif|vérif|überprüf|bestätig|confirm|authenti|authentif|sign[- ]?in|log[- ]?in|two[- ]?(?:step|factor)|2fa|"
    r"expire|valid for|gültig|läuft .{0,20}ab|minuten|minutes?\b|minutos|minuti|minuten|approve|device|anmeld|anzumeld|"
    r"einzulogg|"
    r"einlogg|connexion|connecter|expir|caduca|scad|vence|iniciar sesi|acced|acesso|accesso|entrar|toegang|inlog|"
    r"weryfik|zalog|ważn|ověř|potvrd|přihl|bekräft|bekræft|bekreft|logga in|log ind|logg inn|vahvist|kirjaut|"
    r"doğrula|giriş|geçerli|xác (?:minh|nhận|thực)|đăng nhập|ยืนยัน|เข้าสู่ระบบ|επαλήθευ|σύνδεσ|אימות|תקף|تحقق|تأكيد|"
    r"صالح|"
    r"تأیید|ورود|सत्यापन|लॉग|मान्य|"
    r"подтвержд|підтвердж|вход|действител|минут|никому|登录|登入|验证|驗證|分钟|分鐘|有效|认证|ログイン|認証|有効期限|"
    r"確認|분",
    re.IGNORECASE,
)
"""What codes are for, and how long they are valid."""

ENTER = re.compile(
    r"\benter\b|\btype\b|\bpaste\b|eingeben|geben sie|gib |saisi(?:r|ssez|s)|entrez|tapez|introdu[cz]|ingres[ae]|"
    r"indtast|\bange\b|skriv in|syötä|wpisz|zadejte|girin|"
    r"masukkan|nhập|กรอก|εισ[αά]γ|הזינו?\b|أدخل|وارد کنید|दर्ज|введіть|"
    r"escribe|inserisci|digit[ae]|insira|voer |vul |введите|укажите|输入|輸入|填写|填寫|入力|입력",
    re.IGNORECASE,
)
"""What asks to enter a code."""

PROMOTION = re.compile(
    r"promo|saldi\b|discount|coupon|voucher|save \d|% ?off|sale\b|gutschein|rabatt|aktionscode|vorteilscode|einlös|"
    r"remise|réduction|code promo|bon d'achat|descuento|cup[óo]n|oferta|rebajas|sconto|buono|cupom|desconto|"
    r"promo[çc]|"
    r"korting|actiecode|kortingscode|скидк|промокод|купон|优惠|優惠|折扣|促销|クーポン|割引|セール|キャンペーン|할인|"
    r"쿠폰|"
    r"rabat|zniżk|slev[aouy]|indirim|kupon|giảm giá|khuyến mãi|ส่วนลด|คูปอง|diskon|έκπτωσ|εκπτωτικ|κουπόνι|הנחה|קופון|"
    r"خصم|"
    r"قسيمة|تخفیف|डिस्काउंट|कूपन|छूट|प्रोमो|alennus|"
    r"referral|gift ?card|geschenk|redeem|free shipping|promoción|\d{1,2} ?%(?!\w)",
    re.IGNORECASE,
)
"""What promotions speak of."""

SHOP = re.compile(r"warenkorb|panier|carrello|carrito|carrinho|\bcart\b|checkout", re.IGNORECASE)
"""Where codes of promotions are entered, and those that confirm a payment."""

USE = re.compile(
    r"(?:\b(?:use|using|enter|type|verwenden sie|nutzen sie|verwende|geben sie|utilis(?:ez|e|er)|saisi(?:ssez|s|r)|"
    r"entrez|"
    r"tapez|us[ae]|introdu[cz]\w{0,4}|ingres[ae]|inserisci|digite|insira|usar|utiliza|utilice|"
    r"utilizza|gebruik|wpisz|użyj|použijte|använd|brug|bruk|используйте|введите|gunakan|dùng)|使用|输入|輸入)\W{0,4}$",
    re.IGNORECASE,
)
"""What asks to use the thing that follows it."""

TO = re.compile(
    r"(?:[ ](?:at|on|in|im|auf|dans|sur|en|em|su|op)(?:[ ]\w{1,20}){1,4})?\W{0,4}(?:(?:to|as|for|um|zum|zur|als|pour|"
    r"para|per|come|como|om|aby|żeby|för att|till|til|for å|для|чтобы|"
    r"untuk|để)\b|来|來|进行|以)",
    re.IGNORECASE,
)
"""What says for what the thing before it is to be used."""

OTHER_NUMBER = re.compile(
    # Names with the word for a code in them come first: they count as a whole.
    r"\b(?:order|booking|reservation|tracking|product|item|error|status|colou?r|invoice|building|stock|batch|style|"
    r"country|plz|source|dress|bar|qr|zip|post(?:al)?|sort|area|swift|tax|ref|reference|ticket|case|model|airport|"
    r"strich|quell|uni|artikel|bestell|"
    r"produkt|länder|vorwahl|vare|varu)[ -]?[ck]ode?s?\b|"
    r"kod (?:pocztow|produkt)\w*|posta kodu\w*|ürün kodu\w*|kode ?(?:pos\b|barang|produk)|poštovní \w*|"
    r"mã (?:đơn|vận|bưu|sản|khách|số thuế)\w*|รหัส(?:สินค้า|ไปรษณีย์|พัสดุ|คำสั่งซื้อ|ลูกค้า)|"
    r"κωδικός (?:προϊόντος|παραγγελίας|πελάτη)|רמז|מיקוד|קוד (?:מוצר|פריט)|رمز (?:بريدي|المنتج)|الرمز البريدي|"
    r"کد (?:پستی|رهگیری|ملی|کالا)|पिन ?कोड|code (?:produit|article|barre|client|postal)|código (?:de barras|"
    r"de producto|do produto)|"
    r"order|invoice|tracking|parcel|shipment|booking|reservation|confirmation (?:no|number|nr)|ticket|case\b|"
    r"customer|"
    r"account|member|reference|\bref\b|phone|tel\b|tel[.:]|call us|mobile|fax|zip(?: code)?|postal(?: code)?|"
    r"post ?code|sort ?code|area code|vat\b|"
    r"tax id|iban|bic\b|swift|card ending|ending in|qty|item\b|sku|model|version|build|page|room|flight|gate|"
    r"seat|copyright|©|"
    r"total|amount|invoice|balance|street|suite|floor|p\.?o\.? box|employee|request id|meeting id|\bid\b|"
    r"code (?:of conduct|review|freeze|change|sprint|quality|coverage)|codebase|code base|код (?:товара|заказа|"
    r"региона)|promo|"
    r"bestell|auftrag|rechnung|sendung|paket|kunden|vertrag|buchung|aktenzeichen|referenz|vorgang|telefon|hotline|"
    r"rufnummer|plz|postleitzahl|konto|ust|steuer|handelsregister|hrb|betrag|summe|straße|strasse|artikel|endet auf|"
    r"endend|commande|facture|suivi|colis|client|contrat|réservation|téléphone|tél|siret|siren|tva|montant|"
    r"référence|dossier|"
    r"rue |code postal|pedido|factura|seguimiento|env[íi]o|cliente|contrato|reserva|tel[ée]fono|referencia|importe|"
    r"calle|c[óo]digo postal|ordine|fattura|spedizione|prenotazione|telefono|riferimento|importo|via |"
    r"partita iva|cap\b|"
    r"fatura|rastre|encomenda|protocolo|cnpj|cep\b|telefone|valor|nota fiscal|bestelling|factuur|zending|klant|"
    r"kvk|btw|"
    r"заказ|сч[её]т|накладн|трек|посылк|телефон|договор|инн\b|огрн|индекс|сумма|бронь|"
    r"订单|訂單|发票|發票|运单|快递|物流|单号|電話|电话|热线|客户|編號|编号|金额|邮编|合同|尾号|工单|"
    r"注文|請求|伝票|追跡|お問い合わせ番号|予約|電話|お客様番号|会員番号|金額|合計|郵便|東京都|住所|〒|受付番号|"
    r"登録番号|"
    r"zamówieni|faktur|przesyłk|paczk|objednáv|zásilk|psč|beställning|\bordre\b|kundnummer|tilaus|laskun?\b|"
    r"sipariş|kargo|παραγγελ|τιμολόγ|תשלום|הזמנה|חשבונית|الطلب|طلب|فاتورة|الشحن|سفارش|تلفن|đơn hàng|hóa đơn|pesanan|"
    r"\bresi\b|"
    r"คำสั่งซื้อ|พัสดุ|ใบแจ้งหนี้|ऑर्डर|चालान|फ\u093c?ोन|ट्रैकिंग|замовлен|"
    r"주문|송장|전화|고객센터|reply stop|text stop",
    re.IGNORECASE,
)
"""What names numbers that are no codes."""
